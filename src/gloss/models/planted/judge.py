"""Somebody who takes an explanation at its word: runs a rule over contexts and says where it fires."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from gloss.records import PADDING, Contexts
from gloss.rules.execute import execute
from gloss.rules.parser import parse
from gloss.rules.passage import Passage


@dataclass(frozen=True)
class Judge:
    """Answers for contexts by executing a rule. Sees no more than each context, as a reader does not."""

    rule: str  # source text in the rule language
    strings: tuple[str, ...]  # of the vocabulary

    def strengths(self, contexts: Contexts) -> Float32[ndarray, "context position"]:
        """The strength that the rule foretells at every position; 0 at padding. Raises BadInput where it is no rule."""
        foretold = np.zeros(contexts.tokens.shape, np.float32)
        foretold[contexts.tokens != PADDING] = execute(parse(self.rule), Passage.of_contexts(contexts, self.strings))
        return foretold

    def fires_in(self, contexts: Contexts) -> Bool[ndarray, " context"]:
        """Whether the rule fires anywhere in each context."""
        return np.asarray(self.strengths(contexts).max(axis=1, initial=0) > 0)
