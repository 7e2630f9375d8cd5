"""Models: where they come from, and what a kind of model can do."""
