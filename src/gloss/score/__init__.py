"""Stage 5: how well words foretell their feature on text that they never saw."""
