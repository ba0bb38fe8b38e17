"""How well is predicted what a fine-tuned model says, when it is trained on other examples?

    python -m benchmarks.attribute.datamodels [--points 8] [--budget 512] [--fresh 100]
        [--peers PYTHON]

tinystories-656k is fine-tuned on 32 comments of GoEmotions, half of them labelled happy and
half sad. The value is how much likelier it then calls another comment the one than the other. The
linear datamodeling score (Park et al., 2023) is the rank correlation of what is predicted with what
training gives, over masks that keep half and that nothing was fitted to, each trained on twice.
Gradients of the same model are `gradient_scores` here; with --peers, those of dattri in another
environment besides.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy import ndarray
from scipy.stats import spearmanr

from benchmarks.quality.data import found
from gloss.attribute.game import packed_masks
from gloss.attribute.learners import FineTune
from gloss.attribute.measures import LogitDifference, Pass, measure_rows
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.players.example_file import Example
from gloss.attribute.players.fine_tuning import (
    FineTuningGame,
    fine_tuned,
    learned_text,
    learning_loss,
    one_thread,
    trained_weights,
)
from gloss.attribute.players.prompt_parts import spaced_answer
from gloss.attribute.players.subject_games import answer_tokens, prompt_behind_front
from gloss.models.subject import Subject
from gloss.statistics.intervals import student_interval

EXAMPLES = 32
LONGEST = 70  # characters of a comment
LABELS = ("happy", "sad")  # that differ in their last token
NUMBERS = {"17": "happy", "25": "sad"}  # joy and sadness, as labels.txt counts
LEARNER = FineTune()
FRESH_ORDERS = (7, 8)  # in which fresh masks are trained on


def comments_of_two_kinds(folder: Path, split: str) -> list[Example]:
    """Short comments with one of two labels alone, in turn."""
    each: dict[str, list[Example]] = {label: [] for label in LABELS}
    for line in (folder / f"{split}.tsv").read_text().splitlines():
        text, number, _ = line.split("\t")
        if number in NUMBERS and len(text) < LONGEST:
            each[NUMBERS[number]].append(Example(text, NUMBERS[number]))
    return [one for pair in zip(*each.values(), strict=False) for one in pair]


def fine_tuning_game(
    subject: Subject, examples: Sequence[Example], prompt: str, learner: FineTune = LEARNER
) -> FineTuningGame:
    """How much likelier the first label is than the second behind the prompt, in nats."""
    answers = [(answer_tokens(subject, spaced_answer(prompt, label), prompt),) for label in LABELS]
    return FineTuningGame(
        tuple(example.name for example in examples),
        subject,
        tuple(learned_text(subject, example) for example in examples),
        np.arange(len(examples)),
        tuple(prompt_behind_front(subject, prompt)[0].tolist()),
        LogitDifference(*answers),
        learner,
    )


@dataclass(frozen=True)
class Trainings:
    """Trainings that are measured at all test points at once, and remembered."""

    games: Sequence[FineTuningGame]  # the same but for prompt and measure
    known: dict[tuple[bytes, int], list[float]] = field(default_factory=dict)

    def values(self, masks: Bool[ndarray, "mask player"], time: int) -> Float64[ndarray, "m point"]:
        """One training a mask that is new."""
        first = self.games[0]
        for mask, key in zip(masks, packed_masks(masks), strict=True):
            if (key, time) not in self.known:
                texts = [first.texts[number] for number in np.flatnonzero(mask)]
                rng = first.order_of(mask, time)
                with one_thread(), fine_tuned(first.subject, first.learner, texts, rng) as trained:
                    self.known[key, time] = [
                        float(measure_rows(trained, [one.prompt], one.measure)[0])
                        for one in self.games
                    ]
        return np.array([self.known[key, time] for key in packed_masks(masks)])


@dataclass(frozen=True)
class PointGame:
    """One test point of these trainings."""

    trainings: Trainings
    point: int

    @property
    def players(self) -> tuple[str, ...]:
        """The examples."""
        return self.trainings.games[0].players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """In the first order."""
        return self.values_again(masks, 0)

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """In another."""
        return self.trainings.values(masks, time)[:, self.point]


def gradient_scores(
    games: Sequence[FineTuningGame], trained_on: Bool[ndarray, " player"], steps: int
) -> Float64[ndarray, "point player"]:
    """TracIn (Pruthi et al., 2020): the product of the slopes of each test point's value and of
    each example's loss, summed over the model at the start and after 1, …, `steps` - 1 epochs.
    """
    first = games[0]
    total = np.zeros((len(games), len(first.players)))
    texts = [first.texts[number] for number in np.flatnonzero(trained_on)]
    for epochs in range(steps):
        learner = replace(first.learner, epochs=max(1, epochs))
        rng = first.order_of(trained_on, 0)
        some = texts if epochs else []
        with one_thread(), fine_tuned(first.subject, learner, some, rng) as subject:
            weights = trained_weights(subject, learner)
            own = [slope(learning_loss(subject, [text])[0], weights) for text in first.texts]
            for point, game in enumerate(games):
                rows = Pass(subject, torch.tensor([game.prompt]), grad=True)
                asked = slope(game.measure.of(rows)[0], weights)
                total[point] -= [float(asked @ each) for each in own]
    return total


def slope(value: torch.Tensor, weights: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """Of a number, in all weights."""
    return torch.cat([each.flatten() for each in torch.autograd.grad(value, list(weights))])


class Scored(NamedTuple):
    """How well a method predicts each test point, and what it cost in all, in CPU seconds."""

    correlations: list[float]
    seconds: float
    explained: int = -1  # of the test points; -1 for a method that does not say
    trainings: int = 0  # that were made for all points until then


def score(
    predicted: Float64[ndarray, "point mask"], wanted: Float64[ndarray, "mask point"]
) -> list[float]:
    """The rank correlation at each test point."""
    return [float(spearmanr(own, wanted[:, at]).statistic) for at, own in enumerate(predicted)]


def fresh_masks(
    games: Sequence[FineTuningGame], count: int, rng: np.random.Generator
) -> tuple[Bool[ndarray, "mask player"], Float64[ndarray, "training mask point"]]:
    """Masks that keep half, and what two trainings on each give."""
    masks = rng.random((count, len(games[0].players))) < 0.5
    trainings = Trainings(games)
    return masks, np.array([trainings.values(masks, time) for time in FRESH_ORDERS])


def measured(
    games: Sequence[FineTuningGame],
    budget: int,
    masks: Bool[ndarray, "mask player"],
    truth: Float64[ndarray, "mask point"],
) -> dict[str, Scored]:
    """Every method here, on the same fresh masks; those that train share their trainings."""
    trainings, n = Trainings(games), len(games[0].players)
    methods: dict[str, Scored] = {}
    for name, method in (("auto", Auto(budget, enough=1.0)), ("lasso, order 1", Lasso(budget, 1))):
        begun = time.process_time()
        each = [
            method.attribute(PointGame(trainings, point), np.random.default_rng(0))
            for point in range(len(games))
        ]
        spent = time.process_time() - begun
        explained = sum(one.faithfulness.explained for one in each)
        predicted = np.array([one.predict(masks) for one in each])
        methods[name] = Scored(score(predicted, truth), spent, explained, len(trainings.known))
    for steps, name in ((1, "gradients at the start"), (1 + LEARNER.epochs, "TracIn")):
        begun = time.process_time()
        scores = gradient_scores(games, np.ones(n, np.bool_), steps)
        spent = time.process_time() - begun
        methods[name] = Scored(score(scores @ masks.T, truth), spent)
    return methods


def table(methods: dict[str, Scored]) -> Iterator[str]:
    """A row a method."""
    yield "| method | linear datamodeling score | CPU s | trainings so far | explained |"
    yield "|---|---|---|---|---|"
    for name, each in methods.items():
        mean = student_interval(np.array(each.correlations))
        spent = "" if np.isnan(each.seconds) else round(each.seconds)
        explained = f"{each.explained} of {len(each.correlations)}" if each.explained >= 0 else ""
        yield (
            f"| {name} | {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}] | {spent} |"
            f" {each.trainings or ''} | {explained} |"
        )


def peer_scores(
    python: str,
    folder: Path,
    games: Sequence[FineTuningGame],
    masks: Bool[ndarray, "mask player"],
    truth: Float64[ndarray, "mask point"],
) -> dict[str, Scored]:
    """Those of dattri, in an environment that has it."""
    first = games[0]
    answers = [(game, both_answers(game)) for game in games]
    assert all(said[:-1] == other[:-1] for _, (said, other) in answers), "more tokens differ"
    with tempfile.TemporaryDirectory() as held:
        asked, said = Path(held, "asked.json"), Path(held, "said.json")
        asked.write_text(
            json.dumps(
                {
                    "model": str(folder),
                    "rate": LEARNER.rate,
                    "texts": [[list(text.tokens), text.begin] for text in first.texts],
                    "prompts": [[*game.prompt, *said[:-1]] for game, (said, _) in answers],
                    "answers": [said[-1] for _, (said, _) in answers],
                    "others": [said[-1] for _, (_, said) in answers],
                }
            )
        )
        with fine_tuned(
            first.subject,
            LEARNER,
            first.texts,
            first.order_of(np.ones(len(first.players), bool), 0),
        ) as trained:
            torch.save(trained.model.state_dict(), Path(held, "trained.pt"))
        script = Path(__file__).with_name("datamodels_peers.py")
        subprocess.run([python, str(script), str(asked), str(said)], check=True)
        found_there = json.loads(said.read_text())
    return {
        name: Scored(score(np.array(scores) @ masks.T, truth), seconds)
        for name, (scores, seconds) in found_there.items()
    }


def both_answers(game: FineTuningGame) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Their tokens."""
    assert isinstance(game.measure, LogitDifference)
    return game.measure.answers[0], game.measure.others[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--budget", type=int, default=512)
    parser.add_argument("--fresh", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", default="")
    asked = parser.parse_args()
    folder, texts = found("tinystories-656k"), found("goemotions")
    if folder is None or texts is None:
        raise SystemExit("GLOSS_DATA has no folders tinystories-656k and goemotions")
    rng, subject = np.random.default_rng(asked.seed), Subject.load(folder, device="cpu")
    train, test = (comments_of_two_kinds(texts, split) for split in ("train", "test"))
    first = 2 * int(rng.integers((len(train) - EXAMPLES) // 2))
    points = rng.choice(len(test), asked.points, replace=False)
    examples = train[first : first + EXAMPLES]
    games = [fine_tuning_game(subject, examples, test[point].text) for point in points]
    masks, trained = fresh_masks(games, asked.fresh, rng)
    truth = trained.mean(axis=0)
    methods = {"one more training": Scored(score(trained[0].T, trained[1]), float("nan"))}
    methods |= measured(games, asked.budget, masks, truth)
    if asked.peers:
        methods |= peer_scores(asked.peers, folder, games, masks, truth)
    print(f"seed {asked.seed}, {asked.points} test points, {asked.fresh} fresh masks")
    for line in table(methods):
        print(line, flush=True)


if __name__ == "__main__":
    main()
