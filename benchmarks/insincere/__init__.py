"""Sincere or insincere questions."""
