"""How a rule is found: train windows, terms worth trying, description length, simplification,
wording.
"""
