"""A whole table labelled with a tested prompt."""
