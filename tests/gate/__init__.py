"""Tests of promptlab/gate/."""
