"""Figures and tables that several chapters draw, in one theme."""
