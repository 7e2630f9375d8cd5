"""The book's pages and their build."""
