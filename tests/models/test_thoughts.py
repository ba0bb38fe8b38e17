"""A thought is no answer, however it is marked, closed or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gloss.models.chat_models.thoughts import strip_thoughts

LIST = '{"answers": [1, 0]}'
PAIRS = [
    ("<think>", "</think>"),
    ("<thinking>\n", "\n</thinking>\n\n"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ('<thought kind="short">', "</thought >"),
    ("<THINK>", "</Think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|think|>", "<|/think|>"),
    ("<chain_of_thought>", "</chain_of_thought>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final <|constrain|>json<|message|>"),
    ("<|channel|>analysis", "<|channel|>final"),
    ("analysis", "assistantfinal"),
]


@pytest.mark.parametrize("opens, closes", PAIRS)
def test_what_follows_a_closed_thought_is_the_answer_and_a_thought_alone_is_none(opens, closes):
    thought = "At first sight [1, 1], or\n[interpretation]: a DRAFT about"
    said = strip_thoughts(f"{opens}{thought}{closes}{LIST}")
    assert (said.text, said.thought) == (LIST, True)
    if opens != "analysis":
        assert (
            strip_thoughts(f"{opens}{thought}").text,
            strip_thoughts(f"{opens}{thought}").thought,
        ) == ("", True)
    assert strip_thoughts(f"{opens}{thought}{closes}").text == ""


@pytest.mark.parametrize("closes", [closes for _, closes in PAIRS[:14]])
def test_a_thought_that_the_template_opened_reaches_from_the_start(closes):
    assert strip_thoughts(f"maybe [1, 1]{closes}{LIST}").text == LIST
    assert strip_thoughts(f"maybe [1, 1]{closes}").text == ""


def test_thoughts_come_and_go():
    assert strip_thoughts("<think>a</think>b<think>c</think>d<think>e").text == "bd"
    assert strip_thoughts("<think>a <think> b</think>c").text == "c"
    assert strip_thoughts("<|channel|>final<|message|>four<|return|>").text == "four"
    assert strip_thoughts("<|channel|>commentary<|message|>{}<|end|>").text == ""


@pytest.mark.parametrize(
    "text",
    [
        "[interpretation]: the tag `<think>` that opens a thought",
        'The word "</think>" at the end of what a model reasons.',
        "analysis of texts, and the final word",
        "[1, 0, 1]",
        "if a < think and think > b",
    ],
)
def test_an_answer_that_speaks_of_thoughts_is_left_as_it_is(text):
    assert (strip_thoughts(text).text, strip_thoughts(text).thought) == (text, False)


@given(
    st.lists(
        st.sampled_from([*(mark for pair in PAIRS for mark in pair), "word ", LIST, "`", "\n"]),
        max_size=8,
    )
)
def test_nothing_is_left_to_take_away(parts):
    once = strip_thoughts("".join(parts)).text
    assert strip_thoughts(once).text == once
