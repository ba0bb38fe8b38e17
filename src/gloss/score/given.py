"""Ratings that people, or other tools, gave explanations: a number a row of a file."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gloss.errors import BadInput
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Aspect, Estimate, Explanation, Failure, Needs, Reason, Score
from gloss.statistics.intervals import student_interval
from gloss.store.evidence import Evidence
from gloss.store.labels.label_records import SkippedRow
from gloss.store.labels.label_rows import feature_index, first_of, plain_text, real_number
from gloss.store.labels.tables import INDEX, TEXT, is_table, table_values

METHOD = "given"
VALUE = ("value", "rating", "score")
RATED = ("explained_by", "method")


@dataclass(frozen=True)
class GivenScores:
    """Reads ratings from a table, so that scores can be held against people.

    Several rows for one explanation are several raters.
    """

    needs: ClassVar[Needs] = Needs(
        files=("path",), controls=False, about=(Aspect.INPUT, Aspect.OUTPUT)
    )
    path: str = ""  # CSV, JSON, JSON lines or Parquet: feature, value [, explained_by] [, text]

    def require_files(self) -> None:
        """Read the ratings. Raises BadInput."""
        given_ratings(self.path)

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """The mean rating, with an interval over raters where there are several.

        Yields no prompts.
        """
        yield from ()
        ratings = given_ratings(self.path)
        values = [
            value
            for by, text, value in ratings.get(explanation.feature.index, ())
            if by in ("", explanation.method) and text in ("", explanation.text)
        ]
        if not values:
            detail = f"{self.path} does not rate it"
            return Failure(explanation.feature, METHOD, Reason.NOT_APPLICABLE, detail)
        several = len(values) > 1
        rating = (
            student_interval(np.array(values))
            if several
            else Estimate(values[0], math.nan, math.nan)
        )
        return Score(
            explanation.feature,
            METHOD,
            explanation.method,
            len(values),
            0,
            {"rating": rating},
            "rating",
        )


@lru_cache(maxsize=4)
def given_ratings(path: str) -> dict[int, list[tuple[str, str, float]]]:
    """By feature: whose explanation is rated, or its text, where the row says; and the number.

    Rows without a feature or a number are passed over. Raises BadInput where none has both.
    """
    if not is_table(file := Path(path)):
        raise BadInput(f"{path} is no table; give CSV, JSON, JSON lines or Parquet")
    found: dict[int, list[tuple[str, str, float]]] = defaultdict(list)
    for each in table_values(file):
        row: Any = {} if isinstance(each, SkippedRow) else each[1]
        if not isinstance(row, Mapping):
            continue
        index, value = feature_index(first_of(row, *INDEX)), real_number(first_of(row, *VALUE))
        if index is not None and value is not None and not math.isnan(value):
            by, text = (plain_text(first_of(row, *names)) for names in (RATED, TEXT))
            found[index].append((by, text, value))
    if not found:
        raise BadInput(f"{path} has no row with a feature and a value; name these columns so")
    return dict(found)
