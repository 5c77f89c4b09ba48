"""Tests of promptlab/data/."""
