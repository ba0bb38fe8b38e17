"""Labels in plain words that only a judge understands, who errs in a tenth of his answers: are they
sorted right?
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.quality.knowing_judge import KnowingJudge, serve_judge
from benchmarks.quality.planted_labels import KINDS, planted_label
from benchmarks.quality.rows import Row
from gloss.models.chat_models.client import Chat
from gloss.models.planted.plant import Planted, plant
from gloss.records import Control, Examples, Explanation, Score, Verdict
from gloss.rules import parse_rule
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.detection import Detection
from gloss.score.judge.calibration_items import CalibrationCounts, CalibrationTexts
from gloss.score.judge.error_correction import add_corrections
from gloss.score.label_audit import LabelAudit, Trust, audit_label
from gloss.statistics.intervals import wilson_interval
from gloss.store.evidence import Evidence

EXPERIMENT = "13 labels in words, judged"
WRONG = 0.1  # of the judge's answers
CALIBRATION, RULES = 400, 20  # contexts of known truth, as many as an audit asks about
UNSEEN = "positional"  # a kind of feature that nobody can judge by reading contexts
NARROW = 0.35  # of the places at which the feature fires, where a label is too narrow
CONTROLS = (Control.NONE, Control.RANDOM_EXPLANATION, Control.SHUFFLED_EXPLANATION)
Tried = dict[Control, tuple[int, str, str]]  # a feature's index, the label's words, their rule


def judged_rows(rng: np.random.Generator, small: bool) -> list[Row]:
    """The share of labels of which the audit says something, and of these the right ones."""
    tokens, features = (150_000, 18) if small else (400_000, 40)
    planted = plant(rng, tokens, features)
    kinds, labels = labels_in_words(planted, rng)
    sampling = SamplingSettings(train=1, inactive_train=0)
    wanted = [
        (KINDS[kind], audit.trust)
        for kind, audit in zip(kinds, judged_audits(planted, labels, sampling, rng), strict=True)
        if audit
    ]
    told = [pair for pair in wanted if pair[1] is not Trust.CANNOT_BE_TOLD]
    right = wilson_interval(sum(one is other for one, other in told), len(told))
    share = wilson_interval(len(told), len(wanted))
    return [
        Row.of(
            EXPERIMENT, f"of {len(told)} that are told, 95 % are right", right, right.high >= 0.95
        ),
        Row.of(EXPERIMENT, f"of {len(wanted)}, half are told", share, share.high >= 0.5),
    ]


def labels_in_words(planted: Planted, rng: np.random.Generator) -> tuple[list[str], list[Tried]]:
    """Labels of each kind for each feature, with the labels of two other families as controls."""
    seen = [at for at, one in enumerate(planted.features) if one.kind != UNSEEN]
    names, kinds, labels = list(KINDS), list[str](), list[Tried]()
    for turn in range(len(names)):
        kind = {index: names[(turn + at) % len(names)] for at, index in enumerate(seen)}
        rules = {index: rule_of_kind(kind[index], index, planted, rng) for index in seen}
        for index in seen:
            family = planted.features[index].family
            others = [at for at in seen if planted.features[at].family != family]
            tried = (index, *rng.choice(others, 2, replace=False).tolist())
            labels.append(
                {
                    control: (index, f"what number {turn}.{at} stands for", rules[at])
                    for control, at in zip(CONTROLS, tried, strict=True)
                }
            )
            kinds.append(kind[index])
    return kinds, labels


def rule_of_kind(kind: str, index: int, planted: Planted, rng: np.random.Generator) -> str:
    """What a label of this kind means, in a way that a reader of contexts can see."""
    if kind == "too narrow":
        return beside_a_word(planted.features[index].rule, index, planted)
    while True:
        found = planted_label(kind, index, planted, rng)
        if "position" not in found:
            return found


def beside_a_word(rule: str, index: int, planted: Planted) -> str:
    """The rule right beside some tokens alone, which stand there in about a third of the places."""
    corpus, fires = planted.corpus, planted.activations[index].positions
    found: list[tuple[float, str, list[int]]] = []
    for side, step in (("after", -1), ("before", 1)):
        places = np.clip(fires + step, 0, len(corpus) - 1)
        share = np.bincount(corpus.tokens[places], minlength=len(corpus.vocabulary)) / len(fires)
        chosen, total = list[int](), 0.0
        for token in np.argsort(-share, kind="stable")[:200].tolist():
            if total + share[token] <= NARROW:
                chosen, total = [*chosen, token], total + float(share[token])
        found.append((total, side, chosen))
    _, side, chosen = max(found)
    strings = [corpus.vocabulary.strings[token] for token in chosen]
    some = ", ".join(json.dumps(each, ensure_ascii=False) for each in strings)
    return " or ".join(
        " and ".join([*map(str, each.terms), f"{side}(1, token in {{{some}}})"])
        for each in parse_rule(rule).alternatives
    )


def judged_audits(
    planted: Planted,
    labels: Sequence[Tried],
    sampling: SamplingSettings,
    rng: np.random.Generator,
) -> Iterator[LabelAudit | None]:
    """What the audit says of each label with its controls; None where the feature fires too
    seldom.
    """
    meanings = {text: rule for tried in labels for _, text, rule in tried.values()}
    evidence = {
        index: found
        for index in {index for tried in labels for index, _, _ in tried.values()}
        if (found := evidence_of(index, planted, sampling, rng))
    }
    asked = [
        (number, control, index, text)
        for number, tried in enumerate(labels)
        for control, (index, text, _) in tried.items()
        if index in evidence
    ]
    judge = KnowingJudge(meanings, tuple(planted.corpus.vocabulary.strings), WRONG)
    with serve_judge(judge) as address:
        chat = Chat(model="m", base_url=address)
        known = calibrated(chat, planted, rng)
        found = chat.run(
            [
                Detection().score(
                    Explanation(planted.features[index].feature, text, "given"),
                    evidence[index],
                    np.random.default_rng([number, len(control)]),
                )
                for number, control, index, text in asked
            ],
            rng,
        )
    scores: dict[int, list[tuple[str, Score]]] = {}
    for (number, control, index, _), score in zip(asked, found, strict=True):
        if isinstance(score, Score):
            whole = add_corrections(score, evidence[index].examples, known, rng)
            scores.setdefault(number, []).append(("detection", replace(whole, control=control)))
    for number, tried in enumerate(labels):
        index, text, _ = tried[Control.NONE]
        own = Explanation(planted.features[index].feature, text, "given")
        told = scores.get(number)
        yield audit_label(own, told, planted.corpus, planted.activations[index]) if told else None


def evidence_of(
    index: int, planted: Planted, sampling: SamplingSettings, rng: np.random.Generator
) -> Evidence | None:
    """The contexts of a feature, sampled as in a run."""
    feature, fires = planted.features[index].feature, planted.activations[index]
    found = gather_examples(feature, fires, planted.corpus, Quantiles(), sampling, rng)
    return Evidence(found, planted.corpus, fires) if isinstance(found, Examples) else None


def calibrated(chat: Chat, planted: Planted, rng: np.random.Generator) -> CalibrationCounts:
    """How the judge answers about contexts of known truth."""
    texts = CalibrationTexts.of(planted.corpus, 32, rng)
    each = CALIBRATION // RULES
    material = [texts.about(words, each, rng) for words in texts.draw_words(RULES, each, rng)]
    found = chat.run(
        [Detection().score(said, evidence, rng) for said, evidence in material],
        rng,
    )
    verdicts: list[Verdict] = [one for score in found for one in score.verdicts]
    return CalibrationCounts.of(verdicts)
