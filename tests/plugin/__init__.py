"""Tests of promptlab/plugin/."""
