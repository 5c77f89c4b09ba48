"""Tests of promptlab/models/."""
