"""A chapter's design as one value: arms, axes, budgets, and the run that measures them."""
