"""Stage 2: activations become a dictionary of features."""
