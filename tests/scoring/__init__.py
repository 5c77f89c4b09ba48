"""Tests of promptlab/scoring/."""
