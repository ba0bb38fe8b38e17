"""Draws a sheet of explanations of two runs to be judged by reading, and sums the judgements.

    python benchmarks/quality/readability/sheet.py draw BEFORE AFTER OUT [--features 100] [--seed 7]
    python benchmarks/quality/readability/sheet.py sum OUT

AFTER is the folder of a run, BEFORE that of another of the same features, or a CSV of what an
earlier version of gloss said of them (feature, text, f1). Only features of even index are drawn:
those of odd index are for tuning. `draw` writes OUT/sheet.txt, shuffled and without a word of which
run a row is from, and OUT/key.csv; a text that both runs give is judged once. The judgements go to
OUT/judgements.csv (row, informative, specific, right; 0 or 1) before the key is looked at.
"""

import argparse
import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

import gloss
from gloss.records import Contexts
from gloss.run.opened_run import stored_examples
from gloss.statistics.intervals import bootstrap, wilson_interval
from gloss.store.context_text import context_pieces
from gloss.store.vocabulary import Vocabulary

RUBRICS = ("informative", "specific", "right")
SHOWN, AROUND = 5, 9  # held-out contexts of a row, and tokens on either side of the strongest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    draw = verbs.add_parser("draw")
    for name in ("before", "after", "out"):
        draw.add_argument(name, type=Path)
    draw.add_argument("--features", type=int, default=100)
    draw.add_argument("--seed", type=int, default=7)
    draw.add_argument("--without", type=Path, help="a key whose features have been judged before")
    verbs.add_parser("sum").add_argument("out", type=Path)
    asked = parser.parse_args()
    if asked.verb == "draw":
        judged = {int(row["feature"]) for row in rows_of(asked.without)} if asked.without else set()
        draw_sheet(asked.before, asked.after, asked.out, asked.features, asked.seed, judged)
    else:
        sum_judgements(asked.out)


def draw_sheet(
    before: Path, after: Path, out: Path, features: int, seed: int, judged: set[int]
) -> None:
    """Write the sheet and its key."""
    rng = np.random.default_rng(seed)
    said = {name: told(folder) for name, folder in (("before", before), ("after", after))}
    plan = gloss.open(after).plan
    examples = {
        feature.index: restore
        for shard in range(plan.shards)
        for feature, restore in stored_examples(plan, shard).items()
        if feature.index % 2 == 0 and feature.index not in judged
    }
    drawn = sorted(rng.permutation(sorted(examples))[:features].tolist())
    rows = [
        (feature, text, [name for name in said if said[name].get(feature, ("", 0))[0] == text])
        for feature in drawn
        for text in dict.fromkeys(each.get(feature, ("", 0))[0] for each in said.values())
    ]
    out.mkdir(parents=True, exist_ok=True)
    with (
        (out / "sheet.txt").open("w", encoding="utf-8") as sheet,
        (out / "key.csv").open("w", encoding="utf-8", newline="") as key,
    ):
        written = csv.writer(key, lineterminator="\n")
        written.writerow(["row", "feature", "run", "f1", "text"])
        for number, place in enumerate(rng.permutation(len(rows)).tolist()):
            feature, text, names = rows[place]
            sheet.write(f"{number}. {plain(text) or '(none)'}\n")
            held_out = examples[feature]().held_out
            sheet.writelines(
                f"    {line}\n" for line in marked(held_out, plan.corpus.vocabulary, rng)
            )
            for name in names:
                f1 = said[name].get(feature, ("", 0.0))[1]
                written.writerow([number, feature, name, f"{f1:.4f}", text])


def told(folder: Path) -> dict[int, tuple[str, float]]:
    """Each feature's explanation and its F1 on held-out text."""
    if folder.is_file():
        return {int(row["feature"]): (row["text"], float(row["f1"])) for row in rows_of(folder)}
    run = gloss.open(folder)
    scores = {
        row["feature"]: row["value"]
        for row in run.table("scores").to_pylist()
        if row["control"] == "none" and row["method"] == "execution"
    }
    return {
        row["feature"]: (row["text"], scores.get(row["feature"], 0.0))
        for row in run.explanations.to_pylist()
    }


def plain(text: str) -> str:
    """The text with its counts written alike, whichever run it is from."""
    return re.sub(r"(?: …)? and (\d+) more(?: like these)?", r" … +\1", text)


def marked(contexts: Contexts, vocabulary: Vocabulary, rng: np.random.Generator) -> list[str]:
    """Some contexts as lines, the tokens at which the feature fires between marks."""
    lines: list[str] = []
    for row in rng.permutation(len(contexts))[:SHOWN].tolist():
        pieces, fires = context_pieces(contexts, row, vocabulary), contexts.activations[row]
        peak = int(np.argmax(fires))
        window = range(max(0, peak - AROUND), min(len(pieces), peak + AROUND + 1))
        lines.append(
            json.dumps(
                "".join(f"⟦{pieces[i]}⟧" if fires[i] > 0 else pieces[i] for i in window),
                ensure_ascii=False,
            )
        )
    return lines


def sum_judgements(out: Path) -> None:
    """Print each rubric's share in either run with its Wilson interval, and the F1 scores."""
    judged = {row["row"]: row for row in rows_of(out / "judgements.csv")}
    by_run: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows_of(out / "key.csv"):
        by_run[row["run"]].append(row | judged[row["row"]])
    for name, rows in by_run.items():
        for rubric in RUBRICS:
            share = wilson_interval(sum(row[rubric] == "1" for row in rows), len(rows))
            print(
                f"{name:7} {rubric:12} {share.value:.2f} ({share.low:.2f} to {share.high:.2f})"
                f" of {len(rows)}"
            )
    marks = {
        name: np.array(
            [
                [float(row[rubric]) for rubric in RUBRICS]
                for row in sorted(rows, key=lambda each: each["feature"])
            ]
        )
        for name, rows in by_run.items()
    }
    rng = np.random.default_rng(0)
    for i, rubric in enumerate(RUBRICS):
        change = bootstrap(mean, (marks["after"] - marks["before"])[:, i], rng=rng)
        print(f"paired: {rubric} {change.value:+.2f} ({change.low:+.2f} to {change.high:+.2f})")
    f1 = {
        name: np.array([float(row["f1"]) for row in sorted(rows, key=lambda each: each["feature"])])
        for name, rows in by_run.items()
    }
    for name, scores in f1.items():
        found = bootstrap(lambda drawn: np.median(drawn, axis=-1), scores, rng=rng)
        print(f"{name:7} median F1    {found.value:.3f} ({found.low:.3f} to {found.high:.3f})")
    change = f1["after"] - f1["before"]
    found = bootstrap(mean, change, rng=rng)
    print(
        f"paired: median change {np.median(change):.3f}, mean {found.value:.3f}"
        f" ({found.low:.3f} to {found.high:.3f})"
    )


def mean(drawn: np.ndarray) -> np.ndarray:
    return drawn.mean(axis=-1)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


if __name__ == "__main__":
    main()
