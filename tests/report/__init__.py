"""Tests of promptlab/report/."""
