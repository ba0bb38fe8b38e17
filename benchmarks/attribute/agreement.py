"""Does a real small model make verbs agree with their subjects at all?

    python -m benchmarks.attribute.agreement

Needs the folders tinystories-656k and circuit-prompts of GLOSS_DATA. This model's tokens span
words, so a prompt ends where the two forms' tokens differ first: what is compared is what the
model gives next in "The uncles ha", say. Prompts whose forms differ inside the noun are left out,
since nothing before that place says its number.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from benchmarks.quality.data import found
from gloss.attribute.measures import LogitDifference, Pass, pad_token_rows
from gloss.attribute.players.model_components import AblationGame, Components, Heads
from gloss.models.subject import Subject
from gloss.statistics.intervals import wilson_interval

KINDS = ("simple", "nounpp", "within_rc")


class Choice(NamedTuple):
    """Tokens up to where the right and the wrong form differ, and the token of each there."""

    tokens: tuple[int, ...]
    right: int
    wrong: int


def twins(subject: Subject, folder: Path, kind: str) -> list[tuple[Choice, Choice]]:
    """Each prompt, and the same with a subject of the other number, whose right form is the other
    one.
    """
    made: dict[tuple[Choice, Choice], None] = {}
    for line in (folder / "sva" / f"{kind}_test.json").read_text().splitlines():
        row = json.loads(line)
        forms = (row["clean_answer"], row["patch_answer"])
        clean, other = (
            choice(subject, row["clean_prefix"], forms),
            choice(subject, row["patch_prefix"], forms[::-1]),
        )
        if clean and other:
            made[clean, other] = None
    return list(made)


def choice(subject: Subject, prefix: str, forms: tuple[str, str]) -> Choice | None:
    """None where the forms' tokens differ before the prefix ends, or one form's begin the other's,
    as in "go" and "goes".
    """
    right, wrong = (subject.encode(prefix + form) for form in forms)
    differing = (
        number
        for number, (one, other) in enumerate(zip(right, wrong, strict=False))
        if one != other
    )
    index = next(differing, 0)
    said = subject.vocabulary().text(right[:index]).strip()
    return (
        Choice(tuple(right[:index]), right[index], wrong[index])
        if said.startswith(prefix)
        else None
    )


def game(subject: Subject, some: list[Choice], components: Components) -> AblationGame:
    """The mean logit difference, components ablated to their mean: what no longer depends on the
    prompt's number.
    """
    rows = [[subject.start_token, *one.tokens] for one in some]
    right, wrong = (tuple((one[index],) for one in some) for index in (1, 2))
    measure = LogitDifference(right, wrong)
    return AblationGame(subject, components, pad_token_rows(rows), measure)


def head_games() -> Iterator[tuple[str, AblationGame]]:
    """The kind, and the game of all heads on two pairs of prompts; none without the data."""
    folder, prompts = found("tinystories-656k"), found("circuit-prompts")
    if folder is None or prompts is None:
        print("heads: GLOSS_DATA has no folders tinystories-656k and circuit-prompts")
        return
    subject = Subject.load(folder, device="cpu")
    for kind in ("simple", "nounpp"):
        choices = [one for both in twins(subject, prompts, kind)[:2] for one in both]
        yield kind, game(subject, choices, Heads.of(subject))


def accuracy(subject: Subject, some: list[tuple[Choice, Choice]]) -> str:
    """The share of prompts in which the right form is the likelier.

    And of twins, whose sum no liking for one form can move.
    """
    clean = game(subject, [one for both in some for one in both], Heads.of(subject))
    rows = Pass(subject, clean.tokens, prompts=len(clean.tokens))
    differences = clean.measure.of(rows).reshape(-1, 2)
    return (
        f"right form likelier {share(differences > 0)} prompts; twins told apart"
        f" {share(differences.sum(1) > 0)} twins"
    )


def share(good: Bool[Tensor, "..."]) -> str:
    """With its interval."""
    of = wilson_interval(int(good.sum()), good.numel())
    return f"{of.value:.3f} [{of.low:.3f}, {of.high:.3f}] of {good.numel()}"


def main() -> None:
    folder, prompts = found("tinystories-656k"), found("circuit-prompts")
    if folder is None or prompts is None:
        print("skipped, for GLOSS_DATA has no folders tinystories-656k and circuit-prompts")
        return
    torch.set_num_threads(1)
    subject, rng = Subject.load(folder, device="cpu"), np.random.default_rng(0)
    for kind in KINDS:
        every = twins(subject, prompts, kind)
        every = [every[number] for number in rng.permutation(len(every))[:600].tolist()]
        print(f"{kind}: {accuracy(subject, every)}", flush=True)


if __name__ == "__main__":
    main()
