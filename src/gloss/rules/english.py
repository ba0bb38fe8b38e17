"""Says a rule in plain words."""

from gloss.rules.language import Rule


def phrase(rule: Rule) -> str:
    """A short phrase for people."""
    return str(rule)
