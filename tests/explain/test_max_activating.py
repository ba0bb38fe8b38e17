"""The explainer's prompt, letter by letter, and what it makes of answers."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.explain.max_activating import MaxActivating, integer_strength
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer, prompt_file
from gloss.records import Contexts, Examples, Explanation, Failure, FeatureId, Reason
from gloss.store.vocabulary import Vocabulary
from models.servers import serve

SNAPSHOTS = Path(__file__).parent / "snapshots"
PIECES = (
    b"the",
    b" cat",
    b" sat",
    b" on",
    b' "mat"',
    b"\n",
    "é".encode()[:1],
    "é".encode()[1:],
    b" >>>",
    b" end",
)
VOCABULARY = Vocabulary(PIECES)
FEATURE = FeatureId("toy", 3)


def contexts(tokens, activations) -> Contexts:
    number = len(tokens)
    return Contexts(
        np.arange(number) * 10,
        np.arange(number),
        np.zeros(number, np.int64),
        np.array(tokens, np.int32).reshape(number, -1),
        np.array(activations, np.float32).reshape(number, -1),
    )


def examples(shown: Contexts, **changes) -> Examples:
    none = Contexts.empty(6)
    return replace(Examples(FEATURE, shown, none, none, none, 8.0, 0.1, float("nan")), **changes)


TWO = contexts(
    [[0, 1, 2, 3, 0, 4], [5, 6, 7, 1, 9, -1]], [[0, 8, 2.5, 0, 0, 2.4], [0, 4, 0, 0, 1, 0]]
)


def asked(explainer, given, rng):
    [prompt] = next(explainer.explain(given, VOCABULARY, rng))
    return prompt


def told(text, rng) -> Explanation | Failure:
    conversation = MaxActivating().explain(examples(TWO), VOCABULARY, rng)
    next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer(text)])
    return over.value.value


@pytest.mark.parametrize(
    "name, explainer, given",
    [
        ("plain", MaxActivating(), examples(TWO)),
        ("without_strengths", MaxActivating(strengths=False), examples(TWO)),
        (
            "output_tokens",
            MaxActivating(output_tokens=2),
            examples(TWO, output_tokens=(" is", '"', " no")),
        ),
        ("other_marks", MaxActivating(), examples(contexts([[0, 8, 1]], [[0, 0, 3]]))),
    ],
)
def test_the_prompt_is_as_it_was(name, explainer, given, rng):
    """GLOSS_SNAPSHOTS=write makes the files anew; look at the difference."""
    prompt = asked(explainer, given, rng)
    text = "".join(f"--- {message.role}\n{message.text}\n" for message in prompt.messages)
    file = SNAPSHOTS / f"max_activating_{name}.txt"
    if os.environ.get("GLOSS_SNAPSHOTS") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def test_firing_runs_are_marked_and_listed_with_their_strengths(rng):
    assert (
        asked(MaxActivating(), examples(TWO), rng).messages[-1].text
        == 'Contexts:\n1: "the<< cat sat>> onthe \\"mat\\""\n   " cat" 10, " sat" 4\n2: "\\n<<é>>'
        ' cat end"\n   "é" 5'
    )


@pytest.mark.parametrize(
    "activation, tenths",
    [(8.0, 10), (9.0, 10), (4.0, 5), (4.01, 6), (0.001, 1), (0.0, 0), (-1.0, 0)],
)
def test_strengths_are_tenths_of_the_strongest_rounded_up(activation, tenths):
    assert integer_strength(activation, 8.0) == tenths


def test_strengths_of_multiples_are_exact():
    assert [
        integer_strength(float(np.float32(k) * np.float32(0.1)), 1.0) for k in range(11)
    ] == list(range(11))


def test_no_more_contexts_are_shown_than_asked_for_and_all_alike_likely(rng):
    many = contexts([[i % 10, 1, 2] for i in range(200)], [[0, 1, 0]] * 200)
    text = asked(MaxActivating(), examples(many), rng).messages[-1].text
    assert "\n40: " in text
    assert "\n41: " not in text
    assert asked(MaxActivating(), examples(many), rng).messages[-1].text != text  # drawn anew


@pytest.mark.parametrize(
    "text",
    [
        "[interpretation]: Cats.",
        "They are animals.\n[interpretation]: Cats.",
        "[interpretation]: a guess\nno, rather\n[interpretation]:  Cats.  \n",
        "**[Interpretation]:** Cats.",
        "**[interpretation]: Cats.**\nHope this helps!",
    ],
)
def test_the_last_line_with_the_tag_is_the_explanation(text, rng):
    explanation = told(text, rng)
    assert (explanation.text, explanation.method, explanation.feature) == (
        "Cats.",
        "max_activating",
        FEATURE,
    )
    assert explanation.prompt_hash == prompt_file("gloss.explain", "max_activating").sha256


@pytest.mark.parametrize(
    "said", ["the token `:`", "names like __init__", "the stars of **kwargs", "a `*` or `**`"]
)
def test_signs_that_belong_to_the_explanation_stay(said, rng):
    assert told(f"I see.\n[interpretation]: {said}", rng).text == said


@pytest.mark.parametrize("text", ["Cats.", "[interpretation]:", "[interpretation]:   \n"])
def test_an_answer_without_it_is_a_failure_and_no_sentence(text, rng):
    failure = told(text, rng)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.UNPARSABLE


def test_a_missing_answer_is_a_failure_with_its_reason(rng):
    conversation = MaxActivating().explain(examples(TWO), VOCABULARY, rng)
    next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer(None, Reason.REFUSED, "I will not")])
    assert over.value.value == Failure(FEATURE, "explain", Reason.REFUSED, "I will not")


def test_a_feature_that_nothing_shows_is_a_failure_and_asks_nothing(rng):
    with pytest.raises(StopIteration) as over:
        next(MaxActivating().explain(examples(Contexts.empty(6)), VOCABULARY, rng))
    assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES


def test_it_explains_over_http(rng):
    with serve(answer="fixed", text="I see.\n[interpretation]: Cats on mats.") as server:
        conversations = (MaxActivating().explain(examples(TWO), VOCABULARY, rng) for _ in range(3))
        explanations = Chat("m", server.base_url).run(conversations, rng)
        assert len(server.requests()) == 1  # the three are the same request
    assert [explanation.text for explanation in explanations] == ["Cats on mats."] * 3


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadSettings, match="contexts=0"):
        MaxActivating(contexts=0)
    with pytest.raises(BadSettings, match="threshold=1"):
        MaxActivating(threshold=1.0)
