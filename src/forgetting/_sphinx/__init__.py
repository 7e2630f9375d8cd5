"""Sphinx extensions of the book: `results` (numbers in prose) and `offline` (no other host)."""
