"""Executable explanations: a small language of token, context and position predicates."""

from gloss.rules.execute import execute
from gloss.rules.language import Rule
from gloss.rules.parser import parse_rule
from gloss.rules.passage import Passage

__all__ = ["Passage", "Rule", "execute", "parse_rule"]
