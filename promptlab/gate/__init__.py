"""A prompt against the one it replaces."""
