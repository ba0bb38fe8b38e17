"""Behind `gloss attribute`: which game is meant, who attributes it, and what is told of the outcome."""
