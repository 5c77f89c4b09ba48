"""Tests of promptlab/labels/."""
