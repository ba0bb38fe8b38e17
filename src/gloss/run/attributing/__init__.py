"""Behind `gloss attribute`: which game is meant, who attributes it, what is printed and kept."""
