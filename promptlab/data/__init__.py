"""A task, its examples and its splits."""
