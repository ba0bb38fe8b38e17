"""Explanations that were made elsewhere: the published labels of a dictionary, or a colleague's."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from gloss.errors import BadInput
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure, Needs, Reason
from gloss.rules import parse_rule
from gloss.store.labels import Label, labels_by_feature, read_published
from gloss.store.labels.label_rows import rule_source
from gloss.store.vocabulary import Vocabulary

METHOD = "given"


@dataclass(frozen=True)
class GivenExplanations:
    """Reads explanations from a file or a folder, by the feature's index; asks nobody."""

    needs: ClassVar[Needs] = Needs(files=("path",))
    path: str = ""  # in any format of `gloss methods labels`
    layer: str = ""  # which, where the file holds labels of several
    by: str = ""  # whose, where several made labels

    def require_files(self) -> None:
        """Read the labels. Raises BadInput."""
        given_labels(self.path, self.layer, self.by)

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """The feature's label, with a rule where it is one. Yields no prompts."""
        yield from ()
        label = given_labels(self.path, self.layer, self.by).get(examples.feature.index)
        if label is None:
            detail = f"{self.path} has no label for it"
            return Failure(examples.feature, METHOD, Reason.NOT_APPLICABLE, detail)
        try:
            return Explanation(examples.feature, label.text, METHOD, rule_of_label(label))
        except BadInput as problem:
            return Failure(examples.feature, METHOD, Reason.UNPARSABLE, f"its rule: {problem}")


@lru_cache(maxsize=4)
def given_labels(path: str, layer: str = "", by: str = "") -> dict[int, Label]:
    """The labels of a file by feature; read once. Raises BadInput."""
    return labels_by_feature(read_published([path]), layer, by)[0]


def rule_of_label(label: Label) -> str | None:
    """The label's rule, or its text where that is one; None for plain words.

    Raises BadInput for a column `rule` that holds none.
    """
    if label.rule is not None:
        return str(parse_rule(label.rule))
    return rule_source(label.text)
