"""Delphi's folders: an explanation a file, a file of scores a feature, and caches of activations.

As github.com/EleutherAI/delphi (Apache-2.0) writes them: `explanations/MODULE_latentN.txt` holds
one JSON string, `scores/SCORER/MODULE_latentN.txt` a list with an entry an example, and
`latents/MODULE/START_END.safetensors` the activations of features START to END.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gloss.store.labels.label_records import (
    Label,
    LabelFormat,
    Published,
    PublishedContext,
    PublishedScore,
    SkippedRow,
    SkipReason,
)
from gloss.store.labels.label_rows import plain_text, real_number

NAME = re.compile(r"(?P<layer>.*?)_(?:latent|feature|neuron)(?P<index>\d{1,18})\.(?:txt|json)")
SPLIT = re.compile(r"(?P<start>\d{1,18})_(?P<end>\d{1,18})\.safetensors")
SCORES = "scores"
NOTHING = ("", "explanation could not be parsed.")  # what delphi writes where it failed
CONTEXTS = 20  # of a feature, the strongest, that are read of a cache
CORRELATION = "ev_correlation_score"
WITHOUT, WITH = "no_explanation", "explanation"  # surprisal: losses of a text's tokens, in nats


def recognises_delphi(path: Path) -> bool:
    """Whether the file is named as delphi names an explanation, a score or a split of a cache."""
    return NAME.fullmatch(path.name) is not None or SPLIT.fullmatch(path.name) is not None


def read_delphi(path: Path) -> Iterator[Published]:
    """The one label or score of a file, or the strongest contexts of each feature of a cache."""
    if SPLIT.fullmatch(path.name):
        yield from cached_contexts(path)
        return
    named = NAME.fullmatch(path.name)
    if named is None:
        yield SkippedRow(str(path), SkipReason.NO_INDEX)
        return
    layer, index = named["layer"].replace("-->", "/"), int(named["index"])
    text = path.read_text("utf-8", errors="replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = text.strip().strip('"')
    if isinstance(said, Mapping):
        said = said.get("explanation")
    if isinstance(said, list):
        yield from delphi_score(said, index, layer, path)
    elif plain_text(said).lower() in NOTHING:
        yield SkippedRow(str(path), SkipReason.NO_TEXT)
    else:
        yield Label(index, plain_text(said), None, "delphi", layer)


def delphi_score(
    entries: Sequence[Any], index: int, layer: str, path: Path
) -> Iterator[PublishedScore | SkippedRow]:
    """One number of a file of scores, by the scorer that its folder is named by."""
    scorer = path.parent.name
    rows = [each for each in entries if isinstance(each, Mapping)]
    value = score_of_examples(rows)
    if value is None:
        yield SkippedRow(str(path), SkipReason.UNREADABLE)
    else:
        yield PublishedScore(index, f"{scorer} {value[0]}", value[1], layer)


def score_of_examples(rows: Sequence[Mapping[str, Any]]) -> tuple[str, float] | None:
    """What judged examples add up to: balanced accuracy, a correlation, how well a number ranks
    them, or the share that is right.

    Examples without an answer are left out. None where nothing can be added up.
    """
    if rows and CORRELATION in rows[0]:
        value = real_number(rows[0][CORRELATION])
        return None if value is None or value != value else ("correlation", value)
    if rows and ("similarity" in rows[0] or WITHOUT in rows[0]):
        value = ranked_examples(rows)
        return None if value is None else ("AUROC", value)
    truth = "activating" if rows and "activating" in rows[0] else "ground_truth"
    judged = [
        (bool(row[truth]), bool(row["prediction"]))
        for row in rows
        if row.get(truth) is not None and row.get("prediction") in (0, 1, True, False)
    ]
    sides = [[said == side for true, said in judged if true == side] for side in (True, False)]
    if all(sides):
        return "balanced accuracy", float(np.mean([np.mean(side) for side in sides]))
    right = [bool(row["correct"]) for row in rows if row.get("correct") is not None]
    return ("accuracy", float(np.mean(right))) if right else None


def ranked_examples(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """How often an activating example lies above another: by its similarity to the explanation, or
    by how much less surprising the explanation makes it (information value, in nats).

    None where a side is empty. Ties count as a half.
    """
    sides: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        distance, value = real_number(row.get("distance")), ranking_value(row)
        if distance is not None and value is not None:
            sides[distance >= 0].append(value)  # a quantile, or minus the distance of a negative
    if not (sides[True] and sides[False]):
        return None
    above = np.subtract.outer(sides[True], sides[False])
    return float(np.mean((above > 0) + (above == 0) / 2))


def ranking_value(row: Mapping[str, Any]) -> float | None:
    """What an example is ranked by; None where it does not say."""
    if WITHOUT not in row:
        return real_number(row.get("similarity"))
    losses = [np.atleast_1d(row.get(name) or np.nan) for name in (WITHOUT, WITH)]
    if any(each.dtype.kind not in "fi" for each in losses) or len(losses[0]) != len(losses[1]):
        return None
    return real_number(float(np.sum(losses[0] - losses[1])))


def cached_contexts(path: Path) -> Iterator[PublishedContext | SkippedRow]:
    """The strongest contexts of each feature of one split, with the tokenizer's numbers as tokens.

    A cache without tokens, as old ones are, says where features fire and not on what.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    named = SPLIT.fullmatch(path.name)
    try:
        stored = load_file(path)
        places = stored["locations"].astype(np.int64)
        values, tokens = stored["activations"].astype(np.float32), stored["tokens"]
    except (SafetensorError, OSError, LookupError, TypeError):
        yield SkippedRow(str(path), SkipReason.UNREADABLE)
        return
    first, layer = int(named["start"]) if named else 0, path.parent.name
    order = np.lexsort((places[:, 1], places[:, 0], places[:, 2]))
    places, values = places[order], values[order]
    begins = np.flatnonzero(np.any(np.diff(places[:, [2, 0]], axis=0, prepend=-1), axis=1))
    if len(begins) == 0:
        return
    peaks = np.maximum.reduceat(values, begins)
    ends = np.append(begins[1:], len(places))
    latents = places[begins, 2]
    for latent in np.unique(latents):
        groups = np.flatnonzero(latents == latent)
        for group in groups[np.argsort(-peaks[groups], kind="stable")][:CONTEXTS]:
            rows = slice(begins[group], ends[group])
            text = tokens[places[begins[group], 0]]
            strengths = np.zeros(len(text), np.float32)
            strengths[places[rows, 1]] = values[rows]
            yield PublishedContext(
                first + int(latent), tuple(text.tolist()), tuple(strengths.tolist()), layer
            )


FORMAT = LabelFormat(
    "delphi",
    "explanations/MODULE_latentN.txt, scores/SCORER/… and latents/MODULE/START_END.safetensors",
    recognises_delphi,
    read_delphi,
)
