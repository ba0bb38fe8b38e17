"""A stranger's files made into a model and a tokenizer."""
