"""Tests of promptlab/optimizer/."""
