"""Tests of promptlab/scaffold/."""
