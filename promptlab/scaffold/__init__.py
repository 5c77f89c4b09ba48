"""The files of a new task, written by `promptlab init`."""
