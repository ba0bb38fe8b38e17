"""Solvers: how a game's coefficients are found from masks and values."""
