"""Stage 1: run the subject over text and keep sparse activations."""
