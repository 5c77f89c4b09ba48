"""Tests of promptlab/bulk."""
