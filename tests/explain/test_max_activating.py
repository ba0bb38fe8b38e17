"""The explainer's prompt, letter by letter, and what it makes of answers."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.explain.contrastive import Contrastive
from gloss.explain.max_activating import (
    ANSWER_TOKENS,
    SENTENCE_TOKENS,
    MaxActivating,
    integer_strength,
)
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer, prompt_file
from gloss.records import Contexts, Examples, Explanation, Failure, FeatureId, Negative, Reason
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
    b" the",
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

SILENT = replace(
    contexts([[0, 1, 9, 3, 0, 4], [5, 2, 2, 9, -1, -1]], np.zeros((2, 6))),
    quantiles=np.array([Negative.RANDOM, Negative.SAME_TOKEN]),
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
        ("without_thought", MaxActivating(thought=False), examples(TWO)),
        ("alone", MaxActivating(few_shots=False, context_tokens=3), examples(TWO)),
        ("beside_silent_ones", Contrastive(), examples(TWO, inactive_train=SILENT)),
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
        == "Marks: << and >>\nContexts:\n"
        '1: "the<< cat sat>> onthe \\"mat\\""\n   " cat" 10, " sat" 4\n2: "\\n<<é>>'
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


def test_an_answer_without_a_thought_gets_room_for_a_sentence(rng):
    assert asked(MaxActivating(), examples(TWO), rng).max_tokens == ANSWER_TOKENS
    assert asked(MaxActivating(thought=False), examples(TWO), rng).max_tokens == SENTENCE_TOKENS


@pytest.mark.parametrize(
    "at, shown", [(0, "<<the>> cat sat"), (3, " sat<< on>> the"), (5, ' on the<< \\"mat\\">>')]
)
def test_a_shorter_context_has_its_strongest_token_where_the_whole_one_has_it(at, shown, rng):
    tokens = [0, 1, 2, 3, 10, 4]
    values = [[8.0 if position == at else 0.0 for position in range(6)]]
    given = examples(contexts([tokens], values))
    text = asked(MaxActivating(context_tokens=3), given, rng).messages[-1].text
    assert f'1: "{shown}"' in text


def test_near_misses_are_shown_before_silent_contexts_at_random(rng):
    few = Contrastive(silent_contexts=1)
    text = asked(few, examples(TWO, inactive_train=SILENT), rng).messages[-1].text
    assert text.endswith('Silent contexts:\n1: "\\n sat sat end"')
    both = asked(Contrastive(), examples(TWO, inactive_train=SILENT), rng).messages[-1].text
    assert both.endswith('1: "\\n sat sat end"\n2: "the cat end onthe \\"mat\\""')


def test_contrast_needs_a_silent_context(rng):
    with pytest.raises(StopIteration) as over:
        next(Contrastive().explain(examples(TWO), VOCABULARY, rng))
    assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES
    assert "inactive_train" in over.value.value.detail


def honest_reader(prompt) -> str:
    """Reads what is shown and nothing else: of the two tokens up to a mark, as many as it takes
    to hold in no silent context.
    """
    shown, _, silent = prompt.partition("Silent contexts:")
    runs = re.findall(r"(w\d+) <<(w\d+)>>", shown.replace("<< ", " <<"))
    [(before, marked)] = set(runs)
    need = f"{before} {marked}" if marked in silent else marked
    return f"[interpretation]: `{need}`"


@pytest.mark.parametrize("near, said", [(True, "`w1 w2`"), (False, "`w2`")])
def test_near_misses_tell_an_honest_reader_what_they_alone_can_tell(near, said, rng):
    """The feature fires on w2 after w1; only contexts with w2 elsewhere show that."""
    words = Vocabulary(tuple(f" w{number}".encode() for number in range(10)))
    fires = contexts([[3, 1, 2, 4], [5, 6, 1, 2]], [[0, 0, 8, 0], [0, 0, 0, 6]])
    silent = contexts(
        [[5, 2, 7, 2], [2, 1, 3, 3]] if near else [[5, 6, 7, 8]] * 2, np.zeros((2, 4))
    )
    given = replace(examples(fires), inactive_train=silent)
    conversation = Contrastive(strengths=False).explain(given, words, rng)
    [prompt] = next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer(honest_reader(prompt.messages[-1].text))])
    assert over.value.value.text == said
    assert over.value.value.method == "contrastive"


def test_settings_that_cannot_be_are_refused():
    for kind in (MaxActivating, Contrastive):
        with pytest.raises(BadSettings, match="context_tokens=-1"):
            kind(context_tokens=-1)
    with pytest.raises(BadSettings, match="silent_contexts=0"):
        Contrastive(silent_contexts=0)
    with pytest.raises(BadSettings, match="contexts=0"):
        MaxActivating(contexts=0)
    with pytest.raises(BadSettings, match="threshold=1"):
        MaxActivating(threshold=1.0)
