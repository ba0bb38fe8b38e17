"""Of three texts the one that is unlike the others, as people see it and as the subject does: the
triplet task (Hebart et al., 2020).
"""

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.evaluate.measure import Material
from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LAST, require_place, text_vectors
from gloss.records import Evaluation, EvaluationRow, Needs
from gloss.statistics.intervals import wilson_interval
from gloss.store.file_bytes import filled_lines

TIE = 1e-9  # between two cosines, up to which they are equal


@dataclass(frozen=True)
class OddOneOut:
    """How often the text outside the nearest two of three is the one that people chose: by the
    vectors that the dictionary reads, by its codes, and by its reconstructions. Chance is 1/3.

    `triplets` is a file with an object {"texts": [..., ..., ...], "odd": 2} a line, counted from 0.
    Texts are as near as the cosine of what they have, less the mean of all, says; where no two are
    nearer than others, the answer is wrong.
    """

    needs: ClassVar[Needs] = Needs(files=("triplets",))

    triplets: str = ""
    at: str = LAST  # the token whose vector a text has, or "mean"

    def __post_init__(self) -> None:
        require_place(self.at)

    def require_files(self) -> None:
        """Raise BadInput for a file that holds no triplets."""
        read_triplets(self.triplets)

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Shares over triplets."""
        given = read_triplets(self.triplets)
        places = {text: place for place, text in enumerate(dict.fromkeys(chain(*given.texts)))}
        x = text_vectors(material.subject, dictionary.reads, tuple(places), self.at)
        read = x.to(dictionary.decoder_directions.device)
        sides = {
            "vectors": x,
            "codes": dictionary.encode(read).dense(dictionary.width),
            "reconstructions": dictionary.reconstruct(read),
        }
        rows = torch.tensor([[places[text] for text in three] for three in given.texts])
        odd, n = torch.tensor(given.odd), len(given.odd)
        found = [
            EvaluationRow(
                f"accuracy_of_{name}",
                wilson_interval(int((odd_one_out(each.cpu(), rows) == odd).sum()), n),
                n,
                "triplets",
                note="chance is 1/3",
            )
            for name, each in sides.items()
        ]
        return Evaluation("odd_one_out", tuple(found))


@dataclass(frozen=True)
class Triplets:
    """Three texts each, and which of them people found unlike the others."""

    texts: tuple[tuple[str, ...], ...]
    odd: tuple[int, ...]


def read_triplets(file: str) -> Triplets:
    """A file with an object a line. Raises BadInput for a line that is none, and for no line."""
    path, texts, odd = Path(file), list[tuple[str, ...]](), list[int]()
    try:
        lines = filled_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); give a file of lines of JSON") from error
    for number, line in lines:
        three, which = read_triplet(line)
        if not three:
            raise BadInput(
                f'{path}, line {number} must be an object like {{"texts": ["a", "b", "c"], "odd":'
                f" 2}}, with three texts and 0, 1 or 2, and is {line[:60]!r}; write it so"
            )
        texts.append(three)
        odd.append(which)
    if not texts:
        raise BadInput(f"{path} has no triplets; give one a line")
    return Triplets(tuple(texts), tuple(odd))


def read_triplet(line: str) -> tuple[tuple[str, ...], int]:
    """The texts of a line, none where it is no triplet, and the place of the odd one.

    >>> read_triplet('{"texts": ["a", "b", "c"], "odd": 2}')
    (('a', 'b', 'c'), 2)
    """
    try:
        row: object = json.loads(line)
    except ValueError:
        return (), -1
    match row:
        case {"texts": [str(a), str(b), str(c)], "odd": int(odd)} if (
            a and b and c and odd in range(3) and not isinstance(odd, bool)
        ):
            return (a, b, c), odd
        case _:
            return (), -1


def odd_one_out(
    values: Float[Tensor, "text d"], triplets: Int64[Tensor, "triplet three"]
) -> Int64[Tensor, " triplet"]:
    """Of each three the place of the one outside the two that are most alike; -1 for a tie.

    >>> values = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> odd_one_out(values, torch.tensor([[0, 1, 2], [2, 0, 1]])).tolist()
    [2, 0]
    """
    unit = torch.nn.functional.normalize(values.double() - values.double().mean(0), dim=1)
    one, two, three = (unit[triplets[:, place]] for place in range(3))
    alike = torch.stack([(two * three).sum(1), (one * three).sum(1), (one * two).sum(1)], dim=1)
    largest, second = alike.topk(2, dim=1).values.unbind(1)
    return alike.argmax(1).masked_fill(largest - second <= TIE, -1)
