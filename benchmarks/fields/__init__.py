"""Booking messages of a museum, and the four fields that are pulled out of each."""
