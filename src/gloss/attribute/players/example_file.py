"""Training examples from a file, and which of them are one player."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from scipy.cluster.hierarchy import fcluster, linkage

from gloss.errors import BadInput, BadSettings
from gloss.store.file_bytes import filled_lines

WORD = re.compile(r"\w+|[^\w\s]+")
MOST_DIRECTIONS = 128  # principal ones, of what stands for texts
OTHER_LABEL = 10.0  # how far apart texts with other labels lie, when distances are at most 2


class Example(NamedTuple):
    """A text, what is to be said of it, and the group that it is named to be in."""

    text: str
    label: str = ""
    group: str = ""

    @property
    def name(self) -> str:
        """What it is called as a player."""
        return f"{self.text} → {self.label}" if self.label else self.text


@dataclass(frozen=True)
class GroupedExamples:
    """Examples, and the player that each belongs to."""

    examples: tuple[Example, ...]
    owners: Int64[ndarray, " example"]
    players: tuple[str, ...]


def read_examples(path: Path) -> tuple[Example, ...]:
    """The examples in a file of JSON: an object a line with `text`, and perhaps `label` and
    `group`.

    Raises BadInput for what is none, and where there are fewer than two.
    """
    try:
        rows = [(at, json.loads(line)) for at, line in filled_lines(path)]
    except (OSError, ValueError) as problem:
        raise BadInput(
            f"--examples {path} cannot be read ({problem}); give lines of JSON, such as"
            ' {"text": "I love it", "label": "joy"}'
        ) from problem
    found = tuple(read_example(row, f"--examples {path}, line {at}") for at, row in rows)
    if len(found) < 2:
        raise BadInput(f"--examples {path} holds {len(found)} examples; give two or more")
    return found


def read_example(row: Any, where: str) -> Example:
    """One line."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"]:
        raise BadInput(f'{where}: {str(row)[:60]!r} has no text; write {{"text": "…"}}')
    values = (row.get(name, "") for name in ("label", "group"))
    label, group = ("" if value is None else value for value in values)
    for name, value in (("label", label), ("group", group)):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadInput(f"{where}: the {name} is {value!r}; give a text or a number")
    return Example(row["text"], str(label), str(group))


def group_examples(examples: tuple[Example, ...], groups: int) -> GroupedExamples:
    """One player for each group that the file names, or for each of so many clusters of examples
    with like words and the same label; for each example where there is neither.

    Raises BadSettings for more clusters than examples, or fewer than labels.
    """
    if groups:
        return cluster_examples(examples, groups)
    keys = [(each.group, -1) if each.group else ("", at) for at, each in enumerate(examples)]
    return of_numbers(examples, [keys.index(key) for key in keys])


def cluster_examples(examples: tuple[Example, ...], groups: int) -> GroupedExamples:
    """Clusters by average linkage (Sokal & Michener, 1958) of the cosine of their words."""
    labels = sorted({each.label for each in examples})
    if not len(labels) <= groups <= len(examples):
        raise BadSettings(
            f"--groups {groups}: there are {len(examples)} examples with {len(labels)} labels, and"
            " no group has two labels; give a number between these"
        )
    words = word_vectors([each.text for each in examples])
    own = np.array([[each.label == label for label in labels] for each in examples])
    points = np.concatenate([words, own * OTHER_LABEL], axis=1)
    found = fcluster(linkage(points, "average"), groups, "maxclust")
    return of_numbers(examples, found.tolist())


def of_numbers(examples: tuple[Example, ...], numbers: Sequence[int]) -> GroupedExamples:
    """Examples with the same number are one player; players are in the order of their first."""
    order = list(dict.fromkeys(numbers))
    owners = np.array([order.index(number) for number in numbers], np.int64)
    often = Counter(numbers)
    first = {number: examples[numbers.index(number)] for number in order}
    names = tuple(
        (first[number].group or first[number].name)
        + (f" (and {often[number] - 1:,} more)" if often[number] > 1 else "")
        for number in order
    )
    return GroupedExamples(examples, owners, names)


def word_vectors(
    texts: Sequence[str], also: Sequence[str] = ()
) -> Float64[ndarray, "text direction"]:
    """Words of texts as directions of length 1: log (1 + count), rare words more (Spärck Jones,
    1972). Others follow, in words of these alone.

    Words count as rare by all texts. Angles between them are kept, in as few numbers as they need;
    of more than 128 the principal ones.
    """
    counts = [Counter(WORD.findall(text.lower())) for text in (*texts, *also)]
    own = counts[: len(texts)]
    columns = {word: at for at, word in enumerate(sorted({word for each in own for word in each}))}
    x = np.zeros((len(counts), len(columns)))
    for row, each in enumerate(counts):
        for word, count in each.items():
            if word in columns:
                x[row, columns[word]] = np.log1p(count)
    x *= np.log((1 + len(texts)) / (1 + (x[: len(texts)] > 0).sum(0))) + 1
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return principal(x, len(texts))


def principal(x: Float64[ndarray, "text d"], fitted: int) -> Float64[ndarray, "text direction"]:
    """The same in fewer numbers: along the directions that the first `fitted` rows lie in, of which
    the 128 that vary most are kept.

    What a linear learner with a penalty on squared weights says of any row stays the same.
    """
    _, sizes, directions = np.linalg.svd(x[:fitted], full_matrices=False)
    kept = min(int((sizes > 1e-9 * sizes[0]).sum()), MOST_DIRECTIONS)
    return x @ directions[:kept].T
