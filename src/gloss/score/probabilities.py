"""How likely yes was at each place of a list of answers: read off the log-probabilities of the tokens that a judge wrote."""

import math
import re
from itertools import accumulate

from gloss.models.prompts import Answer, TokenLogprob
from gloss.score.answers import WORDS

BEGINS = re.compile(r"\W*(\w+)")


def probability(answer: Answer, place: int) -> float | None:
    """P(yes) of the value that begins at this character of the answer's text; None where it cannot be had."""
    if answer.text is None or not answer.logprobs:
        return None
    tokens = answer.logprobs
    offset = "".join(token.token for token in tokens).rfind(answer.text)
    if offset < 0:
        return None
    ends = list(accumulate(len(token.token) for token in tokens))
    row = next(row for row, end in enumerate(ends) if end > offset + place)
    return likelihood(tokens[row], offset + place - (ends[row] - len(tokens[row].token)))


def likelihood(token: TokenLogprob, at: int) -> float | None:
    """P(yes) among yes and no in place of this token, whose value begins at character `at`; None where another stands before it.

    An alternative that is not among those that the server names has probability 0.
    """
    if re.search(r"\w", token.token[:at]):
        return None
    mass = {True: 0.0, False: 0.0}
    for text, logprob in {**dict(token.alternatives), token.token: token.logprob}.items():
        if (meant := begun(text)) is not None:
            mass[meant] += math.exp(logprob)
    return mass[True] / (mass[True] + mass[False]) if mass[True] + mass[False] > 0 else None


def begun(token: str) -> bool | None:
    """What a token begins to say, be it the first letters of yes or false; None for anything else."""
    value = BEGINS.match(token)
    return next((yes for word, yes in WORDS.items() if value and word.startswith(value[1].lower())), None)
