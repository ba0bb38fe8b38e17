"""Stage `attribute`: which of the last tokens, alone or together, make each feature fire in its
strongest train contexts.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.attribute.measures import FeatureActivation
from gloss.attribute.methods.token_attribution import TokenAttributionSettings
from gloss.attribute.players.prompt_games import LastTokensGame
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import Contexts, Examples, Failure
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.methods import build_dataclass
from gloss.run.opened_run import stored_examples
from gloss.run.plan import Plan
from gloss.store.results import failure_row
from gloss.store.token_attributions import TokenAttribution, token_attribution_rows


def attribute_shard(plan: Plan, read_with: tuple[Subject, Dictionary], shard: int) -> None:
    """Attribute the activations of one shard's features that have contexts to tokens."""
    asked = build_dataclass(
        TokenAttributionSettings, plan.experiment.attribute or {}, "[attribute]"
    )
    guard, found, failures = (
        FeatureGuard(plan, "attribute", shard),
        list[TokenAttribution](),
        list[Failure](),
    )

    def why(restore: Callable[[], Examples]) -> list[TokenAttribution]:
        return list(feature_token_attributions(plan, read_with, restore(), asked))

    for feature, restore in stored_examples(plan, shard).items():
        one = guard.attempt(feature, partial(why, restore))
        if isinstance(one, Failure):
            failures.append(one)
        else:
            found += one
    rows = [row for one in found for row in token_attribution_rows(one)]
    guard.write({"token_attributions": rows, "failures": map(failure_row, failures)})


def feature_token_attributions(
    plan: Plan,
    read_with: tuple[Subject, Dictionary],
    examples: Examples,
    asked: TokenAttributionSettings,
) -> Iterator[TokenAttribution]:
    """One record for each of the strongest train contexts."""
    rng, corpus = plan.generator("attribute", examples.feature.index), plan.corpus
    subject, dictionary = read_with
    measure = FeatureActivation(dictionary, examples.feature.index)
    for row in strongest_context_rows(examples.train, asked.contexts):
        start = int(examples.train.starts[row])
        peak = start + int(examples.train.activations[row].argmax())
        first = int(corpus.offsets[corpus.sequences_of(np.array([peak]))[0]])
        begin = max(first, peak + 1 - asked.tokens)
        before, tokens = (
            corpus.tokens[slice(*ends)].astype(np.int64)
            for ends in ((first, begin), (begin, peak + 1))
        )
        replacement_tokens = draw_replacement_tokens(
            corpus.tokens[corpus.in_train & corpus.counted],
            (asked.replacement_tokens, len(tokens)),
            rng,
        )
        found = asked.fit_game(LastTokensGame(subject, measure, before, tokens, replacement_tokens))
        last = len(tokens) - 1
        values = {
            tuple(player - last for player in one): value for one, value in found.values.items()
        }
        names = tuple(corpus.vocabulary.strings[token] for token in tokens.tolist())
        yield TokenAttribution(examples.feature, start, peak, names, values, found.share, found.n)


def strongest_context_rows(contexts: Contexts, number: int) -> list[int]:
    """The rows of the strongest contexts, no two with the same tokens."""
    rows: dict[bytes, int] = {}
    for row in np.argsort(-contexts.maxima, kind="stable").tolist():
        rows.setdefault(contexts.tokens[row].tobytes(), row)
    return list(rows.values())[:number]


def draw_replacement_tokens(
    tokens: ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> Int64[ndarray, "row player"]:
    """Tokens as often as they come in the train split, without those that are left out."""
    return rng.choice(tokens, shape).astype(np.int64)
