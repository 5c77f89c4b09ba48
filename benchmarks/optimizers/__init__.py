"""promptlab beside other optimizers."""
