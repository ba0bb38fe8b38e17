"""Surprisal under models whose surprise is known, on a real socket, and under a real model in this
process.
"""

from dataclasses import replace

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.bundled import embedded_folder
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer, PromptToken
from gloss.models.in_process import InProcess
from gloss.models.subject import Subject
from gloss.records import (
    Contexts,
    Examples,
    Explanation,
    FeatureActivations,
    Negative,
    Reason,
    Score,
)
from gloss.score import Scorer
from gloss.score.surprisal import Surprisal, saved_nats
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from models.text_server import serve_texts
from score.one_word import FEATURE, evidence, explained


@pytest.fixture(scope="module")
def address():
    with serve_texts("surprised") as address:
        yield address


def surprised(address, rng, material, *, word=5, form="both") -> Score:
    conversation = Surprisal().score(explained(word), material, rng)
    [score] = Chat("m", f"{address}/{form}/v1", max_attempts=2).run([conversation], rng)
    return score


def test_it_is_a_scorer():
    assert isinstance(Surprisal(), Scorer)


@pytest.mark.parametrize("form", ["vllm", "echo"])
def test_a_model_that_expects_the_word_it_was_told_of_ranks_every_context_rightly(
    address, rng, form
):
    score = surprised(address, rng, evidence(rng), form=form)
    assert (score.n, score.failed) == (100, 0)
    assert score.estimates["auroc"].value == 1
    assert score.estimates["auprc"].value == 1
    # the word costs 1 nat instead of between 3 and 4, one to four times
    assert score.estimates["nats_saved_firing"].low > 2
    assert score.estimates["nats_saved_inactive"].value == 0


def test_the_explanation_of_another_feature_is_at_chance(address, rng):
    auroc = surprised(address, rng, evidence(rng), word=60).estimates["auroc"]
    assert auroc.low <= 0.5 <= auroc.high


def test_an_explanation_that_tells_nothing_is_at_chance(address, rng):
    score = surprised(address, rng, evidence(rng), word=400)
    assert score.estimates["auroc"].value == 0.5
    assert score.estimates["auprc"].value == 0.5
    assert score.estimates["auprc_at_base_rate"].value == pytest.approx(0.01)


def test_failures_lose_and_keep_their_reasons(rng):
    with serve_texts("surprised", fails=0.3) as address:
        score = surprised(address, rng, evidence(rng))
    assert 0.3 < score.failed / 100 < 0.7  # one of two requests is enough
    assert {verdict.reason for verdict in score.verdicts} == {Reason.REQUEST_ERROR}
    assert score.estimates["auroc"].value < 0.6


@pytest.mark.parametrize("kind", [kind for kind in Negative if kind is not Negative.RANDOM])
def test_hard_inactive_contexts_of_any_kind_do_not_enter_at_the_true_rate(rng, kind):
    material = evidence(rng)
    inactive = material.examples.inactive_held_out
    inactive = replace(
        inactive,
        quantiles=np.where(inactive.quantiles == Negative.RANDOM, inactive.quantiles, kind),
    )
    conversation = Surprisal().score(
        explained(5),
        replace(material, examples=replace(material.examples, inactive_held_out=inactive)),
        rng,
    )
    next(conversation)
    # the hard ones too
    likely = np.repeat([True, False], [50, 50]) | (
        np.append(np.zeros(50), inactive.quantiles) == kind
    )
    with pytest.raises(StopIteration) as over:
        conversation.send(
            [
                answer((0, 10_000, "x", -1.0 if told and yes else -2.0))
                for yes in likely
                for told in (True, False)
            ]
        )
    assert over.value.value.estimates["auprc_at_base_rate"].value == 1
    assert over.value.value.estimates["auprc"].value < 1


@pytest.mark.parametrize("form", ["dropped", "silent", "refused"])
def test_a_server_that_drops_what_it_needs_is_refused(address, rng, form):
    with pytest.raises(BadSettings, match="gives no log-probabilities of a prompt's own text"):
        surprised(address, rng, evidence(rng), form=form)


def answer(*tokens):
    return Answer("", prompt_logprobs=tuple(PromptToken(*one) for one in tokens))


def test_nats_saved_are_a_sum_over_the_contexts_tokens():
    told = answer((0, 3, "why", None), (3, 5, " a", -1.0), (5, 7, " b", -0.5))
    untold = answer((0, 2, "or", None), (2, 4, " a", -2.0), (4, 6, " b", -3.0))
    assert saved_nats((told, untold), ("why", "or")) == pytest.approx(3.5)
    assert saved_nats((told, untold), ("wh", "or")) is Reason.UNPARSABLE  # other tokens
    assert (
        saved_nats((told, answer((0, 2, "or", None), (2, 6, " a b", -2.0))), ("why", "or"))
        is Reason.UNPARSABLE
    )
    assert saved_nats((told, Answer(None, Reason.REFUSED)), ("why", "or")) is Reason.REFUSED


def test_a_parts_of_a_character_count_once_each():
    told = answer((0, 2, "ab", None), (2, 2, "", -4.0), (2, 3, "é", -1.0))
    untold = answer((0, 2, "xy", None), (2, 2, "", -5.0), (2, 3, "é", -3.0))
    assert saved_nats((told, untold), ("ab", "xy")) == pytest.approx(3)


DOCUMENTS = {
    True: [
        "raise ValueError('no such file')\n",
        "        raise TypeError(\n",
        "except KeyError as error:\n    raise\n",
        "    raise RuntimeError('stopped')\n",
        "try:\n    pass\nexcept OSError:\n",
        "raise IndexError(index)\n",
    ],
    False: [
        "import os\nimport sys\n",
        "for i in range(10):\n    total += i\n",
        "def area(self):\n    return self.w\n",
        "x = [1, 2, 3]\n",
        "class Shape:\n    def draw(self):\n",
        "print('hello', end='')\n",
    ],
}


def code(subject: Subject) -> Evidence:
    """Contexts of a feature that fires on errors, in the tokens of a subject."""
    sides = {}
    for firing, texts in DOCUMENTS.items():
        rows = [subject.encode(text)[:16] for text in texts]
        tokens = np.array([row + [-1] * (16 - len(row)) for row in rows], dtype=np.int32)
        numbers = np.arange(len(rows)) + 100 * firing
        sides[firing] = Contexts(
            numbers,
            numbers,
            np.full(len(rows), firing - 1),
            tokens,
            np.float32(firing) * (tokens >= 0),
        )
    none = Contexts.empty(16)
    examples = Examples(FEATURE, none, sides[True], none, sides[False], 1.0, 0.1, 0.1)
    corpus = Corpus(
        tokens=np.zeros(1, np.int32),
        offsets=np.array([0, 1]),
        documents=np.array([0]),
        hashes=np.array([0], dtype=np.uint64),
        names=("one",),
        vocabulary=subject.vocabulary(),
    )
    return Evidence(
        examples, corpus, FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))
    )


def test_it_runs_in_this_process_and_a_real_model_saves_nats_by_a_real_explanation(rng):
    subject = Subject.load(embedded_folder("subject"))
    material = code(subject)
    explanations = [
        Explanation(FEATURE, text, "test")
        for text in ("raise ValueError except error", "import os")
    ]
    conversations = [
        Surprisal(worked_examples=1).score(explanation, material, rng)
        for explanation in explanations
    ]
    right, wrong = InProcess(subject).run(conversations, rng)
    assert (right.n, right.failed) == (12, 0)
    assert right.estimates["auroc"].value > 0.8
    assert right.estimates["auroc"].value > wrong.estimates["auroc"].value
    assert right.estimates["nats_saved_firing"].low > 0


def test_the_explanation_is_the_only_difference_and_comes_right_before_the_text(rng):
    prompts = next(Surprisal().score(explained(5), evidence(rng), rng))
    assert len(prompts) == 200
    told, untold = prompts[0].plain, prompts[1].plain
    assert told.replace('"the word `w5`"', '"Various unrelated texts."') == untold
    assert '\n\nDescription: "the word `w5`"\nText:\n' in told


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(BadSettings, match="worked_examples=4"):
        Surprisal(worked_examples=4)


def test_a_side_without_contexts_is_a_failure(rng):
    with pytest.raises(StopIteration) as over:
        next(Surprisal().score(explained(5), evidence(rng, firing=0), rng))
    assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES
