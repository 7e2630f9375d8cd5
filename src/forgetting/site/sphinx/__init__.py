"""Sphinx extensions of the book: `results` (numbers in prose), `offline` (no other host) and
`accessible` (roles).
"""
