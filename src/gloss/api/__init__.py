"""gloss from Python: open a run, look at its features, explain, score and steer them."""
