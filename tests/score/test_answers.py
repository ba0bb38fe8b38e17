"""Answers are read as a person reads them: in any usual wording, and never where a person would be
in doubt.
"""

import json

import numpy as np
import pytest

from gloss.score.judge import answer_parsing
from gloss.score.judge.answer_parsing import parse_answers, yes_or_no


def parse_all_answers(text: str, wanted: int) -> list[bool] | None:
    """Yes or no on so many contexts, as a person would read the answer; None unless there is one on
    each of them.
    """
    said = parse_answers(text, wanted, yes_or_no, counts=True)
    return [said[position][0] for position in range(wanted)] if len(said) == wanted else None


YES_NO = (
    ("yes", "no"),
    ("Yes", "No"),
    ("1", "0"),
    ("true", "false"),
    ("True", "False"),
    ("YES", "NO"),
)
REASONS = (
    ", it names noon",
    " (weekdays only)",
    " - dusk stands there",
    ", because nothing fits",
    ". The text is about fish",
    "",
)
NUMBERED_LINES = """
{n}: {a}
{n}. {a}
{n}) {a}
({n}) {a}
- {n}: {a}
Context {n}: {a}
context {n} - {a}
**{n}**: {a}
| {n} | {a} |
Text {n}: **{a}**
{n} → {a}
#{n}: {a}
{n}: `{a}`
{n}: "{a}"
* Context {n}: {a}
""".strip().splitlines()
DRESSES = (
    "{}",
    "```\n{}\n```",
    "```json\n{}\n```",
    "Here are my answers:\n\n{}",
    "{}\n\nLet me know if you need anything else!",
    "Here are the answers in the requested format:\n{}",
    "<think>Context 1 has noon, 1: no? [0, 0, 0, 0]</think>\n{}",
    "I looked at each context, one after the other.\n\n{}\n",
)
ALONE = """
{}
{}.
**{}**
Answer: {}
The answer is {}.
1: {}
{"1": "{}"}
{"answers": ["{}"]}
{}, because the text names noon.
{} - it holds no such word.
The text speaks of noon. {}
<think>yes? no?</think>{}
[{}]
""".strip().splitlines()


def said(answers: list[bool], words: tuple[str, str]) -> list[str]:
    return [words[0] if answer else words[1] for answer in answers]


def wordings(answers: list[bool], rng: np.random.Generator):
    """Ways to give these answers, two or more of them."""
    words = YES_NO[rng.integers(len(YES_NO))]
    told = said(answers, words)
    ints = [int(answer) for answer in answers]
    numbered = list(enumerate(told, start=1))
    for line in NUMBERED_LINES:
        yield "\n".join(line.format(n=n, a=a) for n, a in numbered)
    yield "\n".join(f"{n}. {a}{rng.choice(REASONS)}" for n, a in numbered)
    yield "\n\n".join(f"{n}: {a}" for n, a in numbered)
    yield from (between.join(f"{n}: {a}" for n, a in numbered) for between in (", ", "; ", " "))
    yield from (between.join(told) for between in (", ", ",", " / ", "; ", "\n", " "))
    yield ", ".join(told[:-1]) + f", and {told[-1]}."
    yield "Answers: " + ", ".join(told)
    yield "\n".join(f"- {a}" for a in told)
    for values in (ints, answers, said(answers, ("yes", "no"))):
        yield json.dumps(values)
        yield json.dumps({"answers": values})
        yield json.dumps({"answers": values}, indent=1)
        yield json.dumps({"answers": values}).replace("]", ",]")
        fields = {str(n): value for n, value in enumerate(values, start=1)}
        yield json.dumps(fields)
        yield json.dumps(fields, indent=2)
        yield json.dumps({"answers": fields})
        yield json.dumps(fields).replace("}", ",}")
        yield json.dumps(fields).replace('"', "'")
        yield str({n: value for n, value in enumerate(values, start=1)})  # noqa: C416
        yield json.dumps({f"context_{n}": value for n, value in enumerate(values, start=1)})
        yield json.dumps([{n: value} for n, value in fields.items()])
        yield json.dumps([{"context": int(n), "answer": value} for n, value in fields.items()])
        yield json.dumps(
            {
                "answers": [
                    {"number": n, "answer": value, "why": "dusk"} for n, value in fields.items()
                ]
            }
        )
        yield json.dumps([{"answer": value} for value in values])
        yield json.dumps(
            {n: {"answer": value, "reason": "names noon"} for n, value in fields.items()}
        )
    yield json.dumps([f"{n}: {a}" for n, a in numbered])


def test_every_usual_wording_is_read(rng):
    for number in (2, 3, 5, 12, 25):
        for _ in range(4):
            answers = [bool(answer) for answer in rng.integers(0, 2, number)]
            for text in wordings(answers, rng):
                dress = DRESSES[rng.integers(len(DRESSES))]
                dressed = dress.replace("{}", text)
                assert parse_all_answers(dressed, number) == answers, (number, dressed)


@pytest.mark.parametrize("answer", [True, False])
def test_a_single_answer_is_read_alone_and_in_a_sentence(answer):
    for words in YES_NO:
        [word] = said([answer], words)
        for wording in ALONE:
            text = wording.replace("{}", word).replace("noon. ", "noon.\n\n")
            if word not in "10" or (", because" not in text and " - it" not in text):
                assert parse_all_answers(text, 1) == [answer], text


@pytest.mark.parametrize(
    "text",
    [
        '{"1"：0，"2"：1，"3"：1}',
        "１：０\n２：１\n３：１",
        "١: ٠\n٢: ١\n٣: ١",
        "१: ०\n२: १\n३: १",
        "{“1”: “no”, “2”: “yes”, “3”: “yes”}",
        "1: 否\n2: 是\n3: 是",
        "1. いいえ\n2. はい\n3. はい",
        "Non, oui, oui",
        "1: нет\n2: да\n3: да",
        "1: ❌\n2: ✅\n3: ✅",
        "1: ✘, 2: ✔️, 3: ✔️",
        "[0.0, 1.0, 1.0]",
        '{"1": 0.0, "2": 1.0, "3": 1.0}',
        '{"1": "N", "2": "Y", "3": "y"}',
        "<answer>0, 1, 1</answer>",
        "<output>\n[0, 1, 1]\n</output>",
        "\\boxed{0, 1, 1}",
        "$\\boxed{\\text{no, yes, yes}}$",
        "<1>0</1>\n<2>1</2>\n<3>1</3>",
        "1 no, 2 yes, 3 yes",
        "Q1: No\nQ2: Yes\nQ3: Yes",
        "<context 1>no</context 1>\n<context 2>yes</context 2>\n<context 3>yes</context 3>",
    ],
)
def test_signs_of_other_scripts_and_what_is_put_around_an_answer_cost_nothing(text):
    assert parse_all_answers(text, 3) == [False, True, True]


@pytest.mark.parametrize(
    "text", ["<answer>Yes</answer>", "\\boxed{\\text{Yes}}", "$\\boxed{1}$", "はい。", "Да.", "✓"]
)
def test_a_single_answer_is_read_in_them_too(text):
    assert parse_all_answers(text, 1) == [True]


def test_what_is_left_out_is_missing_and_costs_nothing_else(rng):
    for number in (3, 8, 25):
        answers = [bool(answer) for answer in rng.integers(0, 2, number)]
        kept = sorted(
            rng.choice(number, number - 1 - int(rng.integers(0, 2)), replace=False).tolist()
        )
        for text in (
            json.dumps({str(row + 1): int(answers[row]) for row in kept}),
            "\n".join(f"{row + 1}: {'yes' if answers[row] else 'no'}" for row in kept),
            json.dumps([{"context": row + 1, "answer": int(answers[row])} for row in kept]),
        ):
            found = parse_answers(text, number, yes_or_no)
            assert {row: value for row, (value, _) in found.items()} == {
                row: answers[row] for row in kept
            }


def test_a_list_of_those_that_count_is_read_where_it_can_be_nothing_else():
    assert parse_all_answers('{"answers": [2, 7]}', 8) == [
        False,
        True,
        False,
        False,
        False,
        False,
        True,
        False,
    ]
    assert parse_all_answers("[3]", 3) == [False, False, True]
    assert parse_all_answers("[1]", 3) is None  # the first one, or a list cut short
    assert parse_all_answers("[7, 2]", 8) is None
    assert parse_all_answers("[2, 9]", 8) is None
    assert parse_all_answers("As [2] and [7] show, this is hard.", 8) is None


def test_a_list_of_another_length_is_never_read(rng):
    for number in (2, 3, 5, 12, 25):
        for other in {1, number - 1, number + 1, 2 * number} - {number}:
            answers = [bool(answer) for answer in rng.integers(0, 2, other)]
            told = said(answers, ("yes", "no"))
            for text in (
                json.dumps([int(answer) for answer in answers]),
                json.dumps({"answers": told}),
                ", ".join(told),
                "\n".join(told),
            ):
                assert parse_all_answers(text, number) is None, text
        beyond = json.dumps({str(row): 1 for row in range(1, number + 2)})
        assert parse_all_answers(beyond, number) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sorry, I am not sure.",
        "I would say yes or no.",
        "Yes, I can help with that.",
        "[1, 0, 2]",
        "[1, null, 0]",
        "[[1], 0, 1]",
        "<think>\nAt first sight [1, 1, 1], but",
        "<think>maybe [1, 0, 1]</think>\nI cannot answer that.",
        '{"answers": [0, 1, 1]} is the form, but I cannot judge these contexts.',
        'The form is {"answers": [0, 1, 1]}.',
        'For example: {"1": 0, "2": 1, "3": 1}',
        '{"1": ..., "2": ..., ...}',
        '{"1": 0 or 1, "2": 0 or 1, "3": 0 or 1}',
        (
            'Explanation: "the word no"\nContexts:\n1: "no one came"\n2: "yes men and"\n3: "true'
            ' story of"'
        ),
        "1: no one came to the harbour\n2: yes men went\n3: 0 points were",
        "It is 12:00, the odds are 3:1, see section 1.1.",
        "1.0",
        "{}",
        "[]",
        "I read 3 texts.\nThe first has 1 point.",
        "<1>0</2>\n<2>1</3>",
        "0-1-1 was the result: 1 1",
    ],
)
def test_what_a_person_would_doubt_is_not_read(text):
    assert parse_all_answers(text, 3) is None


@pytest.mark.parametrize(
    "text",
    [
        "Context [1] has no such word.",
        "There is no way to tell.",
        "I do not know.",
        "Not sure",
        "Nothing",
        "Yes or no?",
        "The text [1] is about noon.",
        "It has one point.",
        '{"1": ...}',
        "1: no one came",
        "1. The text",
        "No-one came",
        "N.B. the text",
        "T-shirts",
        "Yes-men went",
    ],
)
def test_a_single_answer_that_is_none_is_not_read(text):
    assert parse_all_answers(text, 1) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"1": 0, "2": 1}',
        "[0, 1]",
        '```json\n["no", "yes"]\n```',
        "1. No, none.\n2. Yes",
        "no, yes",
        "No\nYes",
    ],
)
def test_each_answer_says_where_it_stands(text):
    found = parse_answers(text, 2, yes_or_no)
    assert text[found[0][1] :].lower().startswith(("0", "no"))
    assert text[found[1][1] :].lower().startswith(("1", "yes"))


def test_plain_json_is_read_at_once_as_it_is_read_at_length(rng, monkeypatch):
    texts = []
    for _ in range(300):
        number = int(rng.integers(1, 8))
        colon, comma = rng.choice([": ", ":"]), rng.choice([", ", ","])
        bits = rng.integers(0, 2, number)
        first = rng.choice([0, 1, 1, 1, 2])
        places = rng.permutation(number) if rng.random() < 0.3 else np.arange(number)
        fields = comma.join(
            f'"{first + place}"{colon}{bit}' for place, bit in zip(places, bits, strict=True)
        )
        listed = comma.join(map(str, bits))
        texts += ["{" + fields + "}", '{"answers"' + colon + "[" + listed + "]}"]
    lengths = [int(n) for n in rng.integers(1, 8, len(texts))]
    cases = [
        (text, n)
        for text, wanted in zip(texts, lengths, strict=True)
        for n in {wanted, text.count(",") + 1}
    ]
    at_once = [parse_answers(text, number, yes_or_no, counts=True) for text, number in cases]
    read = [answer_parsing.parse_plain_json(text, number, yes_or_no) for text, number in cases]
    assert sum(one is not None for one in read) > 200
    monkeypatch.setattr(answer_parsing, "parse_plain_json", lambda *_: None)
    assert at_once == [
        parse_answers(text, number, yes_or_no, counts=True) for text, number in cases
    ]
