"""Stage 4: contexts become words."""
