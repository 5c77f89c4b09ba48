"""What promptlab is measured on; run by name, not with the tests."""
