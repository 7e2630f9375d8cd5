"""A chapter."""
