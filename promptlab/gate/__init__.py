"""A prompt against its base."""
