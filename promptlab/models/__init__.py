"""What the API speaks."""
