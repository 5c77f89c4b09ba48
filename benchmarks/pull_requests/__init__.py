"""Prompts as pull requests change them."""
