"""Tests of promptlab/cassettes/."""
