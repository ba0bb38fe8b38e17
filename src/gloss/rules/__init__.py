"""Executable explanations: a small language of token, context and position predicates."""
