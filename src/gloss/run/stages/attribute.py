"""Stage `attribute`: which of the last tokens, alone or together, make each feature fire in its strongest shown contexts."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.attribute.games.endings import Ending
from gloss.attribute.reasons import Reasoning
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import Contexts, Examples, Failure
from gloss.run.methods import build
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.run.restored import stored_examples
from gloss.store.reasons import Reasons, reason_rows
from gloss.store.results import failure_row


def attribute(plan: Plan, read_with: tuple[Subject, Dictionary], shard: int) -> None:
    """Find the reasons of one shard's features that have contexts."""
    asked = build(Reasoning, plan.experiment.attribute or {}, "[attribute]")
    watch, found, failures = Watch(plan, "attribute", shard), list[Reasons](), list[Failure]()

    def why(restore: Callable[[], Examples]) -> list[Reasons]:
        return list(reasons(plan, read_with, restore(), asked))

    for feature, restore in stored_examples(plan, shard).items():
        one = watch.treated(feature, partial(why, restore))
        if isinstance(one, Failure):
            failures.append(one)
        else:
            found += one
    rows = [row for one in found for row in reason_rows(one)]
    watch.write({"reasons": rows, "failures": map(failure_row, failures)})


def reasons(plan: Plan, read_with: tuple[Subject, Dictionary], examples: Examples, asked: Reasoning) -> Iterator[Reasons]:
    """One record for each of the strongest shown contexts."""
    rng, corpus = plan.generator("attribute", examples.feature.index), plan.corpus
    for row in strongest(examples.shown, asked.contexts):
        start = int(examples.shown.starts[row])
        peak = start + int(examples.shown.activations[row].argmax())
        first = int(corpus.offsets[corpus.sequences_of(np.array([peak]))[0]])
        begin = max(first, peak + 1 - asked.tokens)
        before, tokens = (corpus.tokens[slice(*ends)].astype(np.int64) for ends in ((first, begin), (begin, peak + 1)))
        stand_ins = drawn(corpus.tokens[corpus.shown & corpus.counted], (asked.stand_ins, len(tokens)), rng)
        found = asked.account(Ending(*read_with, examples.feature.index, before, tokens, stand_ins))
        last = len(tokens) - 1
        values = {tuple(player - last for player in one): value for one, value in found.values.items()}
        names = tuple(corpus.vocabulary.strings[token] for token in tokens.tolist())
        yield Reasons(examples.feature, start, peak, names, values, found.share, found.n)


def strongest(contexts: Contexts, number: int) -> list[int]:
    """The rows of the strongest contexts, no two with the same tokens."""
    rows: dict[bytes, int] = {}
    for row in np.argsort(-contexts.maxima, kind="stable").tolist():
        rows.setdefault(contexts.tokens[row].tobytes(), row)
    return list(rows.values())[:number]


def drawn(tokens: ndarray, shape: tuple[int, int], rng: np.random.Generator) -> Int64[ndarray, "row player"]:
    """Tokens as often as they come in the shown split, without those that are left out."""
    return rng.choice(tokens, shape).astype(np.int64)
