"""Features that read, that write, and that do both, in a transformer written by hand: which score
sees which (experiment 6).

The judge of inputs executes rules; the reader of completions finds a word the less surprising for
having just read it.
"""

import inspect
import json
import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.stats import t as student

from benchmarks.quality.rows import Row
from gloss.explain.output_tokens import TokenChange, VocabularyProjection
from gloss.explain.rule_search.search import RuleSearch
from gloss.intervene.baseline import Baseline, prompt_tokens
from gloss.intervene.edits import FeatureEdit
from gloss.intervene.feature_effects import measure_feature_effects
from gloss.intervene.settings import InterventionSettings
from gloss.intervene.strength_calibration import StrengthCalibration, calibrate_strengths
from gloss.intervene.vocabulary_projection import chance_logit, vocabulary_projection
from gloss.models.bundled import embedded_folder
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt, PromptToken
from gloss.models.compiled_subject import CompiledSide, CompiledSubject, compile_subject
from gloss.models.formats import load_dictionary
from gloss.models.planted import RuleJudge
from gloss.models.planted.text import cut_into_corpus
from gloss.models.subject import Subject
from gloss.records import (
    Control,
    Effect,
    Estimate,
    Examples,
    Explanation,
    Failure,
    FeatureId,
    Score,
    Split,
)
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.intervention_surprisal import InterventionSurprisal
from gloss.score.intervention_tokens import InterventionTokens, named_tokens
from gloss.statistics.intervals import wilson_interval
from gloss.store.corpus import Corpus
from gloss.store.evidence import NO_ACTIVATIONS, Evidence

NAME = "6: features of inputs and of outputs"
TARGETS = (0.1, 1.0, 3.0)
READ, UNREAD = -1.0, -4.0  # nats of a word that the passage holds, and of one that it does not
T = TypeVar("T")


@dataclass(frozen=True)
class Known:
    """One feature of the compiled transformer, and all that was made of it."""

    side: CompiledSide
    promoted: tuple[int, ...]
    examples: Examples
    seen: Examples  # the same with what is known of its outputs
    rule: Explanation | Failure
    projected: Explanation | Failure
    changed: Explanation | Failure
    effects: tuple[Effect, ...]


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Every fact about the compiled features."""
    subject = compile_subject(rng, each=2 if small else 8)
    corpus = cut_into_corpus(
        subject.random_text(25_000 if small else 50_000, rng).astype(np.int32),
        subject.subject.vocabulary(),
        rng,
    )
    targets = (1.0,) if small else TARGETS
    asked = InterventionSettings(kl=targets, completions=12 if small else 16, new_tokens=4)
    known = list(treated(subject, corpus, asked, rng))
    found = [
        *sorting(known, corpus, rng),
        *naming(known, corpus),
        *controls(known, corpus, targets, rng),
    ]
    return [*found, calibrated(rng, features=4 if small else 100)]


def calibrated(rng: np.random.Generator, features: int) -> Row:
    """Of embedded features, the share that meets each of four KLs within a tenth in at most twelve
    passes.
    """
    subject, dictionary = (
        Subject.load(embedded_folder("subject")),
        load_dictionary(embedded_folder("dictionary")),
    )
    lines = [line for line in inspect.getsource(textwrap).splitlines() if len(line.strip()) > 20]
    prompts = prompt_tokens(subject, [line[:60] for line in rng.choice(lines, 8, replace=False)])
    baseline = Baseline.of(subject, prompts, dictionary.writes)
    met: list[bool] = []
    for index in rng.choice(dictionary.width, features, replace=False).tolist():
        found = calibrate_strengths(
            baseline,
            FeatureEdit(dictionary, index),
            (0.1, 0.33, 1.0, 3.0),
            FeatureId("embedded", index),
        )
        met.append(all(isinstance(one, StrengthCalibration) and one.passes <= 12 for one in found))
    share = wilson_interval(sum(met), len(met))
    known = (
        "embedded features meet each of .1, .33, 1 and 3 nats in 12 passes: .99 or more (n ="
        f" {len(met)})"
    )
    return Row.of(NAME, known, share, share.value >= 0.99)


def treated(
    compiled: CompiledSubject, corpus: Corpus, asked: InterventionSettings, rng: np.random.Generator
) -> Iterator[Known]:
    """Each feature with its contexts, its effects and its explanations."""
    number, vocabulary = len(compiled.sides), corpus.vocabulary
    chance = chance_logit(compiled.subject, compiled.dictionary.d_out, rng)
    projected = vocabulary_projection(compiled.subject, compiled.dictionary, range(number))
    for index, activations in enumerate(compiled.activations(corpus)):
        sampling = SamplingSettings(context_length=16, train=60, inactive_train=400, minimum=5)
        plain = gather_examples(
            FeatureId("compiled", index), activations, corpus, Quantiles(), sampling, rng
        )
        assert isinstance(plain, Examples)
        found = [
            one
            for one in measure_feature_effects(
                compiled.subject, compiled.dictionary, plain, asked, rng
            )
            if isinstance(one, Effect)
        ]
        raised = tuple(token.text for token in projected[index] if token.value > chance)
        whole = replace(plain, output_tokens=raised, effects=tuple(found))
        seen = whole.for_explainer()
        yield Known(
            compiled.sides[index],
            compiled.promoted[index],
            plain,
            whole,
            finished(RuleSearch().explain(seen, vocabulary, rng)),
            finished(VocabularyProjection().explain(seen, vocabulary, rng)),
            finished(TokenChange().explain(seen, vocabulary, rng)),
            tuple(effect for effect in found if effect.split is Split.HELD_OUT),
        )


def sorting(known: list[Known], corpus: Corpus, rng: np.random.Generator) -> Iterator[Row]:
    """A high score of inputs says that a feature reads by a rule, one of outputs that it writes.

    Together they sort all.
    """
    for scorer in (InterventionSurprisal(), InterventionTokens()):
        right = 0
        for one in known:
            reads = accuracy(one, corpus) > 0.75
            score = scored(scorer, one.projected, one, corpus, rng)
            writes = isinstance(score, Score) and score.estimates[score.headline].low > 0.01
            right += (reads, writes) == (
                one.side is not CompiledSide.OUTPUT,
                one.side is not CompiledSide.INPUT,
            )
        share, name = right / len(known), type(scorer).__module__.rpartition(".")[2]
        yield Row.exact(
            NAME, f"judging contexts and {name} together sort every feature: 1", share, share == 1
        )


def naming(known: list[Known], corpus: Corpus) -> Iterator[Row]:
    """Who names what a feature writes: the explainers of outputs exactly, the explainer of inputs
    never.
    """
    for explainer in ("projected", "changed"):
        right = [names(getattr(one, explainer), corpus) == set(one.promoted) for one in known]
        name = {"projected": "vocabulary_projection", "changed": "token_change"}[explainer]
        known_answer = (
            f"{name} names what each feature writes and is inactive where it writes nothing: 1"
        )
        yield Row.exact(NAME, known_answer, float(np.mean(right)), all(right))
    named = [bool(names(one.rule, corpus) & set(one.promoted)) for one in known]
    yield Row.exact(
        NAME,
        "the rule of its contexts names what a feature writes: 0",
        float(np.mean(named)),
        not any(named),
    )


def names(explanation: Explanation | Failure, corpus: Corpus) -> set[int]:
    """The tokens that were named; none where there is no explanation."""
    return (
        set(named_tokens(explanation, corpus.vocabulary).tolist())
        if isinstance(explanation, Explanation)
        else set()
    )


def controls(
    known: list[Known], corpus: Corpus, targets: tuple[float, ...], rng: np.random.Generator
) -> Iterator[Row]:
    """Explanations of outputs at every KL: their own above 0, along random directions and exchanged
    at 0.
    """
    writing = [one for one in known if isinstance(one.projected, Explanation)]
    own = [scored(InterventionSurprisal(), one.projected, one, corpus, rng) for one in writing]
    exchanged = [
        scored(InterventionSurprisal(), other.projected, one, corpus, rng)
        for one, other in zip(writing, [*writing[1:], writing[0]], strict=True)
    ]
    chances = 2 * len(targets)  # rows that have to hold together
    for target in targets:
        metric, random = (
            f"nats_at_{target:g}_nats",
            f"nats_{Control.RANDOM_DIRECTION}_at_{target:g}_nats",
        )
        yield above_zero(f"nats of its own explanation at {target:g} nats: above 0", own, metric)
        yield zero(f"nats along a random direction at {target:g} nats: 0", own, random, chances)
        yield zero(
            f"nats of shuffled explanations at {target:g} nats: 0", exchanged, metric, chances
        )


def above_zero(known: str, scores: list[Score | Failure], metric: str) -> Row:
    """The mean over features, whose interval lies above 0."""
    mean, number = over_features(scores, metric, 0.05)
    return Row.of(NAME, f"{known} (n = {number})", mean, mean.low > 0)


def zero(known: str, scores: list[Score | Failure], metric: str, chances: int) -> Row:
    """The mean over features.

    Any of so many rows fails by chance in a twentieth of runs: as wide intervals hold 0.
    """
    mean, number = over_features(scores, metric, 0.05)
    wide, _ = over_features(scores, metric, 0.05 / chances)
    return Row.of(
        NAME, f"{known}, as one of {chances} (n = {number})", mean, wide.low <= 0 <= wide.high
    )


def over_features(scores: list[Score | Failure], metric: str, error: float) -> tuple[Estimate, int]:
    """The mean over features with Student's interval, which misses so often, and how many there
    are.
    """
    values = np.array(
        [
            one.estimates[metric].value
            for one in scores
            if isinstance(one, Score) and metric in one.estimates
        ]
    )
    mean = float(values.mean())
    half = float(
        student.ppf(1 - error / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    )
    return Estimate(mean, mean - half, mean + half), len(values)


def accuracy(one: Known, corpus: Corpus) -> float:
    """The balanced accuracy of a judge who runs the rule over held-out contexts.

    Who has no rule claims nothing.
    """
    if not isinstance(one.rule, Explanation) or one.rule.rule is None:
        return 0.5
    judge = RuleJudge(one.rule.rule, corpus.vocabulary.strings)
    sides = (one.examples.held_out, one.examples.inactive_held_out)
    fires, inactive = (float(judge.fires_in(side).mean()) for side in sides)
    return (fires + 1 - inactive) / 2


def scored(
    scorer: InterventionSurprisal | InterventionTokens,
    explanation: Explanation | Failure,
    one: Known,
    corpus: Corpus,
    rng: np.random.Generator,
) -> Score | Failure:
    """The score of an explanation as if it were this feature's; a failure where there is none."""
    if isinstance(explanation, Failure):
        return explanation
    own = replace(explanation, feature=one.examples.feature)
    return finished(
        scorer.score(own, Evidence(one.examples, corpus, NO_ACTIVATIONS, effects=one.effects), rng)
    )


def finished(conversation: Conversation[T]) -> T:
    """What a conversation with the reader returns."""
    try:
        prompts = next(conversation)
        while True:
            prompts = conversation.send([answered(prompt) for prompt in prompts])
    except StopIteration as over:
        return over.value


def answered(prompt: Prompt) -> Answer:
    """The reader's answer: how likely each word of the prompt is, by whether the last passage holds
    it.
    """
    text = prompt.plain or ""
    read = set(re.findall(r"\w+", json.loads(re.findall('(?m)^Passage: (".*")$', text)[-1])))
    words = [(found.start(), found.end(), found[0]) for found in re.finditer(r"\w+|\W", text)]
    values = (
        PromptToken(start, end, word, READ if word in read else UNREAD)
        for start, end, word in words
    )
    return Answer("", prompt_logprobs=tuple(values))
