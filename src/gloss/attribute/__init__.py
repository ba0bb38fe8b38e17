"""Finds which players of a game (words, heads, training examples) act together, and says how far
that explains its values.
"""

from gloss.callable_package import make_callable

make_callable(__name__)
