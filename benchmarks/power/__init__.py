"""What verdicts are worth, by simulation."""
