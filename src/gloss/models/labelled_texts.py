"""Texts with labels, and the vector that the subject has for each: what the methods learn from that
are told what to find.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from gloss.errors import BadInput, BadSettings
from gloss.models.sites import Site
from gloss.models.subject import Subject

LAST, MEAN = "last", "mean"


@dataclass(frozen=True)
class LabelledTexts:
    """Texts, and the label of each."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    @staticmethod
    def read(file: str) -> "LabelledTexts":
        """A file with an object a line, {"text": ..., "label": ...}.

        Raises BadInput for a line that is none, and where there are less than two labels.
        """
        path, texts, labels = Path(file), list[str](), list[str]()
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                f"{path} cannot be read ({error}); give a file of lines of JSON"
            ) from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text, label = row["text"], row["label"]
            except (ValueError, TypeError, KeyError) as error:
                raise BadInput(
                    f'{path}, line {number} must be an object like {{"text": "...", "label":'
                    f' "..."}}, and is {line[:60]!r}; write it so'
                ) from error
            if not isinstance(text, str) or not text or isinstance(label, dict | list | None):
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

    def having(self, label: str) -> Bool[Tensor, " text"]:
        """Which texts have this label. Raises BadSettings for one that none has."""
        if label not in self.labels:
            raise BadSettings(f"no text has the label {label!r}; there are {self.names[:8]}")
        return torch.tensor([each == label for each in self.labels])


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
