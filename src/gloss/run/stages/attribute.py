"""Stage `attribute`: which of the last tokens, alone or together, make each feature fire in its
strongest train contexts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.attribute.methods.token_attribution import TokenAttributionSettings
from gloss.pages.page_records import FeaturePage
from gloss.records import Contexts, Examples, Failure
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun, shard_token_attributions, stored_examples
from gloss.run.stage import Job, Stage, Step, Where
from gloss.store.record_rows import failure_row
from gloss.store.schemas import named_tables
from gloss.store.token_attributions import TokenAttribution, token_attribution_rows


class AttributeStage(Stage):
    """Why each feature fires, where the experiment has a table [attribute]."""

    name, after, settings, optional = "attribute", ("sample",), TokenAttributionSettings, True
    tables = named_tables("token_attributions", "failures")
    where = Where.DEVICE

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return asked.sample_steps()

    def worker(self, job: Job) -> Callable[[int], None]:
        from gloss.run.run_dictionary import load_subject_and_dictionary

        return partial(attribute_shard, job, load_subject_and_dictionary(job.run))

    def page_fragment(
        self, run: OpenedRun, step: Step, shard: int
    ) -> Callable[[FeaturePage], FeaturePage]:
        found = shard_token_attributions(run, shard)
        return lambda page: replace(page, token_attributions=found.get(page.feature.index, ()))


def attribute_shard(job: Job, read_with: tuple[Any, Any], shard: int) -> None:
    """Attribute the activations of one shard's features that have contexts to tokens."""
    run, asked = job.run, job.run.experiment.settings(TokenAttributionSettings)
    guard, found, failures = job.guard(shard), list[TokenAttribution](), list[Failure]()

    def why(restore: Callable[[], Examples]) -> list[TokenAttribution]:
        return list(feature_token_attributions(run, read_with, restore(), asked))

    for feature, restore in stored_examples(run, shard).items():
        one = guard.attempt(feature, partial(why, restore))
        if isinstance(one, Failure):
            failures.append(one)
        else:
            found += one
    rows = [row for one in found for row in token_attribution_rows(one)]
    guard.write({"token_attributions": rows, "failures": map(failure_row, failures)})


def feature_token_attributions(
    run: OpenedRun,
    read_with: tuple[Any, Any],  # the subject and its dictionary
    examples: Examples,
    asked: TokenAttributionSettings,
) -> Iterator[TokenAttribution]:
    """One record for each of the strongest train contexts."""
    from gloss.attribute.measures import FeatureActivation
    from gloss.attribute.players.prompt_games import LastTokensGame

    rng, corpus = run.generator("attribute", examples.feature.index), run.corpus
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
