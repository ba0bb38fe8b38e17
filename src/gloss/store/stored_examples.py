"""Examples as references into the corpus: where each context begins is kept, and the rest is read
again, in one go for all contexts of a feature.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Examples, FeatureActivations, FeatureId
from gloss.store.contexts import cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.feature_facts import FeatureFacts, feature_facts
from gloss.store.schemas import SCHEMAS

# the table `examples` as it is written: of a few words each row has a number, and no row lacks one
WORD = pa.dictionary(pa.int32(), pa.string())
WRITTEN = pa.schema(
    [
        pa.field(each.name, WORD if each.type == pa.string() else each.type, nullable=False)
        for each in SCHEMAS["examples"]
    ]
)
# what is read of it; which sample it is of, its reader knows
READ = pa.schema([each for each in WRITTEN if each.name != "sample"])
ROLES = ("train", "held_out", "inactive_train", "inactive_held_out")


@dataclass(frozen=True, eq=False)
class ContextReferences:
    """Where contexts of one feature begin, in the order in which they are given, and what each is
    for.
    """

    roles: Int64[ndarray, " context"]  # numbers of ROLES
    starts: Int64[ndarray, " context"]  # global index of the first position
    # 0 holds the strongest; a Negative where inactive
    quantiles: Int64[ndarray, " context"]
    width: int  # positions of each

    def __len__(self) -> int:
        return len(self.starts)

    @staticmethod
    def of(
        chosen: Mapping[str, tuple[Int64[ndarray, " _"], Int64[ndarray, " _"]]], width: int
    ) -> "ContextReferences":
        """The starts and quantiles of each role, one after the other."""
        starts, quantiles = (
            np.concatenate([np.empty(0, np.int64), *(found[column] for found in chosen.values())])
            for column in (0, 1)
        )
        roles = np.array([ROLES.index(role) for role in chosen], np.int64)
        lengths = [len(found[0]) for found in chosen.values()]
        return ContextReferences(np.repeat(roles, lengths), starts, quantiles, width)

    @staticmethod
    def joined(several: Sequence["ContextReferences"]) -> "ContextReferences":
        """The contexts of all of them. Wants one width."""
        if len(several) == 1:
            return several[0]
        return ContextReferences(
            np.concatenate([each.roles for each in several]),
            np.concatenate([each.starts for each in several]),
            np.concatenate([each.quantiles for each in several]),
            several[0].width,
        )


def reference_table(
    references: Mapping[FeatureId, ContextReferences], sample: str = ""
) -> pa.Table:
    """The table `examples`, a row a context: its feature, role, first position, quantile, width,
    and the sample that it belongs to; none where it is the same for all samples.
    """
    every = list(references.values())
    rows = [len(each) for each in every]
    none = np.empty(0, np.int64)

    def spelled(codes: Int64[ndarray, " row"], words: Sequence[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(words, pa.string()))

    def column(name: str) -> Int64[ndarray, " row"]:
        return np.concatenate([none, *(getattr(each, name) for each in every)])

    def repeated(values: Iterable[int]) -> Int64[ndarray, " row"]:
        return np.repeat(np.fromiter(values, np.int64, len(rows)), rows)

    names = list(dict.fromkeys(feature.dictionary for feature in references))
    columns = {
        "dictionary": spelled(repeated(names.index(f.dictionary) for f in references), names),
        "feature": repeated(feature.index for feature in references),
        "role": spelled(column("roles"), ROLES),
        "sample": spelled(np.zeros(sum(rows), np.int64), [sample]),
        "context": column("starts"),
        "quantile": column("quantiles"),
        "width": repeated(each.width for each in every),
    }
    return pa.table(columns, schema=WRITTEN)


def references_by_feature(table: pa.Table) -> dict[FeatureId, ContextReferences]:
    """What the rows of a table `examples`, as `READ` says, refer to: by the feature's whole name,
    in their order.
    """
    if table.num_rows == 0:
        return {}
    (dictionary, names), (roles, known) = (
        (words.indices.to_numpy(), words.dictionary.to_pylist())
        for words in (table[name].combine_chunks() for name in ("dictionary", "role"))
    )
    roles = np.array([ROLES.index(role) for role in known], np.int64)[roles]
    features, starts, quantiles, widths = (
        table[name].to_numpy() for name in ("feature", "context", "quantile", "width")
    )
    changes = np.flatnonzero((np.diff(features) != 0) | (np.diff(dictionary) != 0)) + 1
    bounds = [0, *changes.tolist(), table.num_rows]
    found: dict[FeatureId, list[ContextReferences]] = {}
    for first, end in pairwise(bounds):
        own = slice(first, end)
        found.setdefault(FeatureId(names[dictionary[first]], int(features[first])), []).append(
            ContextReferences(roles[own], starts[own], quantiles[own], int(widths[first]))
        )
    return {feature: ContextReferences.joined(several) for feature, several in found.items()}


def restore_examples(
    feature: FeatureId,
    references: ContextReferences,
    corpus: Corpus,
    activations: FeatureActivations,
    output_tokens: tuple[str, ...] = (),
    facts: FeatureFacts | None = None,
) -> Examples:
    """The examples that are referred to, equal to those that were stored; `facts` are worked out
    where none were kept.

    Raises ValueError where there is no context.
    """
    if not len(references):
        raise ValueError(f"{feature}: no contexts were stored, so its examples cannot be restored")
    order = np.argsort(references.roles, kind="stable")
    whole = cut_contexts(
        corpus,
        activations,
        references.starts[order],
        references.width,
        references.quantiles[order],
    )
    bounds = np.cumsum([0, *np.bincount(references.roles, minlength=len(ROLES)).tolist()])
    by_role = {
        role: whole[bounds[number] : bounds[number + 1]] for number, role in enumerate(ROLES)
    }
    if facts is None:
        facts = feature_facts(corpus, activations, references.width)
    return Examples(feature, **by_role, **facts._asdict(), output_tokens=output_tokens)
