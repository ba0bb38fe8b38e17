"""gloss reads language models: what each feature means, how far the words can be trusted, and what acts together."""
