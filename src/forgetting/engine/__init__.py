"""Computes any step of a lineage once: training, generation, and the graph that orders them."""
