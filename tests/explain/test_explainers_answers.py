"""What a person would read as the explainer's sentence is read, and nothing else is."""

import pytest
from choosing import evidence
from hypothesis import given
from hypothesis import strategies as st

from gloss.explain.sentence_parsing import parse_explanation, parse_sentence
from gloss.models.chat_models.prompts import Answer, Message, prompt_file

SAID = "Names of rivers, as in `Rhine`, not of lakes."
FORMS = [
    "[interpretation]: {}",
    "[Interpretation]: {}",
    "**[interpretation]**: {}",
    "**[interpretation]:** {}",
    "**[interpretation]: {}**",
    "[interpretation] {}",
    "[interpretation] - {}",
    "[interpretation: {}]",
    "- [interpretation]: {}",
    "> [interpretation]: {}",
    "### [interpretation]\n{}",
    "[interpretation]:\n{}",
    "[interpretation]:\n\n{}",
    "[interpretation]:\n- {}",
    '[interpretation]: "{}"',
    "[interpretation]: “{}”",
    "[interpretation]: **{}**",
    "[interpretation]:\n```\n{}\n```",
    "```\n[interpretation]: {}\n```",
    "Interpretation: {}",
    "**Interpretation:** {}",
    "**Interpretation**: {}",
    "Final interpretation: {}",
    "## Interpretation\n\n{}",
    "interpretation:\n{}",
    "【interpretation】：{}",
    "<interpretation>{}</interpretation>",
    "<interpretation>\n{}\n</interpretation>",
    '{{"interpretation": "{}"}}',
    '{{"Interpretation": "{}"}}',
    '{{"explanation": "{}"}}',
    '```json\n{{\n  "interpretation": "{}"\n}}\n```',
    '{{"thoughts": "rivers", "result": {{"[interpretation]": "{}"}}}}',
]
BEFORE = [
    "",
    "They are all water.\n",
    "<think>\n[interpretation]: DRAFT\n</think>\n",
    "[interpretation]: a draft.\n\nNo, rather:\n",
]
AFTER = ["", "\n", "\n\nI hope that this helps!"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", BEFORE[:3])
def test_the_sentence_is_read_in_every_form(form, before):
    assert parse_sentence(before + form.format(SAID) + AFTER[2]) == SAID


@given(
    st.sampled_from(
        [form for form in FORMS if form.lower().lstrip("*-># 【").startswith(("[inter", "inter"))]
    ),
    st.lists(
        st.sampled_from(
            ["the", "word", "`def`", "or", "(noon,", "dusk)", "“x”", "at", "50%", "--", "names:"]
        ),
        min_size=2,
        max_size=9,
    ),
    st.sampled_from(BEFORE),
    st.sampled_from(AFTER),
)
def test_the_last_sentence_is_read_whatever_its_words_are(form, words, before, after):
    said = "Tokens of " + " ".join(words) + " here."
    if form.startswith(("I", "i", "#", "**I", "F")) and "[interpretation]" in before:
        return  # a tag in brackets counts for more than one without
    assert parse_sentence(before + form.format(said) + after) == said


def test_a_sentence_may_go_over_lines_and_a_paragraph_ends_it():
    assert (
        parse_sentence("[interpretation]: Names of rivers\nand of lakes.\nI hope so.")
        == "Names of rivers and of lakes."
    )
    assert (
        parse_sentence("[interpretation]:\nNames of rivers\nand of lakes\n\nNote: I guess.")
        == "Names of rivers and of lakes"
    )
    assert parse_sentence("[interpretation]: Cats.**\nHope this helps!") == "Cats.**"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Names of rivers.",
        "[interpretation]:",
        "[interpretation]: ...",
        "[interpretation]: <your sentence>",
        "[interpretation]: [your sentence here]",
        "<think>\n[interpretation]: DRAFT about numbers\nBut the third context",
        '<think>{"interpretation": "DRAFT"}',
        '{"interpretation": ""}',
        '{"interpretation": 5}',
        '{"answers": [1, 0]}',
        "I would need an interpretation of these contexts",
    ],
)
def test_a_thought_a_placeholder_or_chatter_is_none(text):
    assert parse_sentence(text) is None


@pytest.mark.parametrize("name", ["contrastive", "max_activating", "input_output", "repair"])
def test_what_the_prompt_says_itself_is_no_answer(name):
    turns = [Message(turn.role, turn.text) for turn in prompt_file("gloss.explain", name).turns]
    examples = [turn.text for turn in turns if turn.role == "assistant"]
    assert examples
    for text in examples:
        assert parse_sentence(text) is not None
        assert parse_sentence(text, turns) is None
    [told] = [turn.text for turn in turns if turn.role == "system"]
    repeated = " ".join(told.partition("[interpretation]:")[2].split()[:3])
    assert repeated
    assert parse_sentence(f"[interpretation]: {repeated}", turns) is None
    assert parse_sentence("[interpretation]: Names of rivers.", turns) == "Names of rivers."


def test_an_answer_that_repeats_the_prompt_is_a_failure_that_says_so(rng):
    turns = [Message(turn.role, turn.text) for turn in prompt_file("gloss.explain", "repair").turns]
    repeated = next(turn.text for turn in turns if turn.role == "assistant")
    examples = evidence(rng).examples
    said = [
        parse_explanation(Answer(text), examples, "", turns).detail
        for text in (repeated, "Rivers, I think.")
    ]
    assert said[0].startswith("the prompt's own words in ")
    assert said[1].startswith("no sentence after [interpretation]: in ")
