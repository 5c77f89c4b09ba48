"""What is counted, how sure it is, and whether a difference is real."""
