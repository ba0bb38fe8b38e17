"""Texts with labels, and the vector that the subject has for each: what the methods learn from that
are told what to find.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from gloss.errors import BadInput, BadSettings
from gloss.models.labelled_sets import TABLES, labelled_file, rows_of_table
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.store.file_bytes import filled_lines, unpacked_name

LAST, MEAN = "last", "mean"


@dataclass(frozen=True)
class LabelledTexts:
    """Texts, and the label of each."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    @staticmethod
    def read(source: str) -> "LabelledTexts":
        """A file with an object a line, {"text": ..., "label": ...}, or a table with a header line
        (.csv, .tsv, packed or not); `FILE#COLUMN` names another entry than `label`. Or a set of the
        wheel sae-probes by its name, such as "97_news_class".

        Raises BadInput for a row that has not both, and where there are less than two labels.
        """
        path, column = labelled_file(source)
        texts, labels = list[str](), list[str]()
        table = unpacked_name(path).suffix.lower() in TABLES
        for number, text, label in (
            rows_of_table(path, column)
            if table
            else rows_of_texts(path, column or "label", '"..."')
        ):
            if isinstance(label, dict | list | None):
                raise BadInput(
                    f"{path}, line {number} has the text {text!r:.40} and the label {label!r:.40};"
                    " give a text and one label"
                )
            texts.append(text)
            labels.append(str(label))
        if len(set(labels)) < 2:
            raise BadInput(
                f"{path} has {len(texts)} texts and {len(set(labels))} labels; give texts of two"
                " labels or more"
            )
        return LabelledTexts(tuple(texts), tuple(labels))

    @property
    def names(self) -> list[str]:
        """Every label, sorted."""
        return sorted(set(self.labels))

    def drawn(self, most: int, rng: np.random.Generator) -> "LabelledTexts":
        """So many of them in random order, or all where there are fewer."""
        rows = rng.permutation(len(self.texts))[:most]
        texts, labels = (tuple(side[row] for row in rows) for side in (self.texts, self.labels))
        return LabelledTexts(texts, labels)

    def having(self, label: str) -> Bool[Tensor, " text"]:
        """Which texts have this label. Raises BadSettings for one that none has."""
        if label not in self.labels:
            raise BadSettings(f"no text has the label {label!r}; there are {self.names[:8]}")
        return torch.tensor([each == label for each in self.labels])


@dataclass(frozen=True)
class RoleTexts:
    """Texts, and for each what fills each role, as a number among the fillers."""

    texts: tuple[str, ...]
    role_names: tuple[str, ...]
    filler_names: tuple[str, ...]
    filled: Int64[Tensor, "text role"]

    @staticmethod
    def read(file: str) -> "RoleTexts":
        """A file with an object a line, {"text": ..., "roles": {"ROLE": "FILLER", ...}}; roles and
        fillers are numbered alphabetically, and a text that comes again counts once.

        Raises BadInput for a line that is none, or has other roles than the first.
        """
        path, texts, rows = Path(file), list[str](), list[dict[str, str]]()
        seen: set[tuple[object, ...]] = set()
        for number, text, given in rows_of_texts(path, "roles", '{"ROLE": "FILLER", ...}'):
            if not isinstance(given, dict) or not given:
                raise BadInput(
                    f"{path}, line {number} has the roles {given!r:.40}; name one or more"
                )
            row = cast(dict[str, Any], given)
            if not all(isinstance(filler, str) and filler for filler in row.values()):
                raise BadInput(
                    f"{path}, line {number} has the roles {given!r:.40}; give each a filler, a text"
                )
            if rows and set(row) != set(rows[0]):
                raise BadInput(
                    f"{path}, line {number} has the roles {sorted(row)}, and the first line"
                    f" {sorted(rows[0])}; fill the same in each"
                )
            if (text, *sorted(row.items())) not in seen:  # what is held out is taught nowhere
                seen.add((text, *sorted(row.items())))
                texts.append(text)
                rows.append(row)
        roles = sorted(rows[0]) if rows else []
        fillers = sorted({filler for row in rows for filler in row.values()})
        if len(fillers) < 2:
            raise BadInput(
                f"{path} has {len(rows)} texts with {len(fillers)} fillers; give texts in which"
                " roles are filled by one thing or another"
            )
        numbers = {filler: number for number, filler in enumerate(fillers)}
        filled = torch.tensor([[numbers[row[role]] for role in roles] for row in rows])
        return RoleTexts(tuple(texts), tuple(roles), tuple(fillers), filled)


def rows_of_texts(path: Path, entry: str, shape: str) -> Iterator[tuple[int, str, Any]]:
    """Of each line that is not empty its number, its text, and what it has besides under the entry.

    Raises BadInput for a line that is no object with both, or without a text.
    """
    try:
        lines = filled_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); give a file of lines of JSON") from error
    for number, line in lines:
        try:
            row = json.loads(line)
            text, besides = row["text"], row[entry]
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f'{path}, line {number} must be an object like {{"text": "...", "{entry}":'
                f" {shape}}}, and is {line[:60]!r}; write it so"
            ) from error
        if not isinstance(text, str) or not text:
            raise BadInput(
                f"{path}, line {number} has the text {text!r:.40} and the {entry} {besides!r:.40};"
                f" give a text, and {entry}"
            )
        yield number, text, besides


@torch.no_grad()
def text_vectors(
    subject: Subject, site: Site, texts: tuple[str, ...], at: str
) -> Float32[Tensor, "text d"]:
    """A vector for each text: that of its last token, or the mean of all its tokens."""
    front = [] if subject.start_token is None else [subject.start_token]
    found: list[Tensor] = []
    for text in texts:
        if not (tokens := subject.encode(text)):
            raise BadInput(f"the text {text!r:.40} has no token in this model; take it out")
        trace = subject.run(torch.tensor([[*front, *tokens]]), read=(site,))
        vectors = trace.activations[site][0, len(front) :].float().cpu()
        found.append(vectors[-1] if at == LAST else vectors.mean(0))
    return torch.stack(found)


def require_place(at: str) -> None:
    """Raise BadSettings for a place that `text_vectors` does not know."""
    if at not in (LAST, MEAN):
        raise BadSettings(f'at is {at!r}; it must be "{LAST}" or "{MEAN}", of a text\'s tokens')


def require_subject(subject: Subject | None, method: str) -> Subject:
    """Raise BadSettings where a method is not given the subject that it reads."""
    if subject is None:
        raise BadSettings(f"{method} reads the subject; give it to `fit`")
    return subject
