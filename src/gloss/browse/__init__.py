"""Stage 9: pages that show the result, from records alone."""
