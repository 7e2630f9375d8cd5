"""The chapters: one folder each, with all of it but its prose."""
