"""Support messages and the queue that each belongs to."""
