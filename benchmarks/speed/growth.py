"""How cost grows with tokens, with features and with the width of a dictionary: every stage as it
is typed, on a real model, and pictures of it.

    python -m benchmarks.speed.growth run SUBJECT SITE TEXTS OUT [--only tokens features width]
    python -m benchmarks.speed.growth draw OUT/growth.json FOLDER

`run` makes dictionaries of tokens' directions (as `wide_dictionary make` does), then types `gloss
collect`, `sample`, `explain` and `score` one after the other: CPU seconds of each with all that it
starts, the peak memory of its largest process, bytes and files in the end. A killed run goes on.
`draw` writes an SVG for each of the three.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

VERBS = ("collect", "sample", "explain", "score")
USUAL = {"tokens": 500_000, "features": 64, "width": 8192}
GROWN: Mapping[str, Sequence[int]] = {
    "tokens": (250_000, 500_000, 1_000_000, 2_000_000, 4_000_000),
    "features": (64, 256, 1024),
    "width": (8192, 32_768, 131_072),
}
AT_WIDTHS = {"tokens": 100_000}  # what is encoded 131,072 times over is less
COLORS = dict(zip(VERBS, ("#8a6d3b", "#4a6a8a", "#2e7d32", "#9c3587"), strict=True))
LEFT, TOP, WIDE, HIGH = 70, 40, 400, 300  # of the frame of a picture
LINE = 14  # between labels


def main() -> None:
    parser = argparse.ArgumentParser(description="How cost grows, and pictures of it.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run")
    for name in ("subject", "site", "texts"):
        run.add_argument(name)
    run.add_argument("out", type=Path)
    run.add_argument("--only", nargs="+", choices=GROWN, default=list(GROWN))
    drawn = verbs.add_parser("draw")
    drawn.add_argument("file", type=Path)
    drawn.add_argument("out", type=Path)
    asked = parser.parse_args()
    if asked.verb == "draw":
        draw_all(json.loads(asked.file.read_text()), asked.out)
    else:
        measure_all(asked)


def measure_all(asked: argparse.Namespace) -> None:
    """Measure every point that was not measured yet."""
    asked.out.mkdir(parents=True, exist_ok=True)
    kept = asked.out / "growth.json"
    found: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    for what in asked.only:
        for point in points(what):
            if any(each["what"] == what and each["point"] == point for each in found):
                continue
            found.append({"what": what, "point": point, "load": os.getloadavg()[0]})
            found[-1] |= measure(asked, point)
            kept.write_text(json.dumps(found, indent=1) + "\n")
            print(json.dumps(found[-1]), flush=True)


def points(what: str) -> Iterator[dict[str, int]]:
    for value in GROWN[what]:
        yield USUAL | (AT_WIDTHS if what == "width" else {}) | {what: value}


def measure(asked: argparse.Namespace, point: Mapping[str, int]) -> dict[str, Any]:
    """What each verb takes at a point."""
    name = "-".join(map(str, point.values()))
    folder, dictionary = asked.out / f"run-{name}", asked.out / f"dictionary-{point['width']}"
    if not dictionary.exists():
        module = ["-m", "benchmarks.speed.wide_dictionary", "make"]
        given = [asked.subject, asked.site, asked.texts, str(point["width"]), str(dictionary)]
        subprocess.run([sys.executable, *module, *given], check=True)
    file = asked.out / f"{name}.toml"
    file.write_text(
        f'[run]\nfolder = "{folder}"\nfeatures = {point["features"]}\n'
        f'[subject]\nmodel = "{asked.subject}"\n'
        f'[collect]\ntexts = ["{asked.texts}"]\nmax_tokens = {point["tokens"]}\n'
        f'[decompose]\ndictionary = "{dictionary}"\n'
    )
    taken = {verb: typed(verb, file) for verb in VERBS}
    files = [each for each in folder.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    return {"taken": taken, "bytes": size, "files": len(files)}


def typed(verb: str, file: Path) -> dict[str, float]:
    """CPU seconds of a command and of all that it starts, and the peak of its largest process."""
    command = [str(Path(sys.executable).with_name("gloss")), verb, str(file)]
    with (file.parent / "log.txt").open("a") as log:
        process = subprocess.Popen(
            command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed; see {file.parent / 'log.txt'}")
    return {"seconds": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024}


def draw_all(found: Sequence[Mapping[str, Any]], out: Path) -> None:
    """A picture for each of what was grown."""
    out.mkdir(parents=True, exist_ok=True)
    for what in GROWN:
        if rows := [each for each in found if each["what"] == what]:
            (out / f"growth-{what}.svg").write_text(picture(what, rows), encoding="utf-8")


def picture(what: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """CPU seconds of each verb against what was grown, both by logarithms, with a line of slope 1
    for the eye.
    """
    across = [row["point"][what] for row in rows]
    times = [row["taken"][verb]["seconds"] for row in rows for verb in VERBS]
    left, right = math.log10(min(across)), math.log10(max(across))
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def place(x: float, seconds: float) -> tuple[float, float]:
        along = (math.log10(x) - left) / (right - left)
        up = (math.log10(seconds) - low) / (high - low)
        return LEFT + WIDE * along, TOP + HIGH * (1 - up)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 110}'
        f' {TOP + HIGH + 60}" font-family="Georgia, serif" font-size="13" role="img"'
        f' aria-label="CPU seconds of each stage by {what}">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="22">CPU seconds as typed, start included, by {what}</text>',
    ]
    for power in range(low, high + 1):
        _, y = place(across[0], 10.0**power)
        parts += [
            f'<line x1="{LEFT}" x2="{LEFT + WIDE}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>',
        ]
    for x in across:
        at, _ = place(x, 10.0**low)
        parts.append(f'<text x="{at:.1f}" y="{TOP + HIGH + 22}" text-anchor="middle">{x:,}</text>')
    top = min(10.0**high, 10.0**low * across[-1] / across[0])
    (x1, y1), (x2, y2) = place(across[-1] * 10.0**low / top, 10.0**low), place(across[-1], top)
    parts.append(
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#bbb"'
        ' stroke-dasharray="4 4"/>'
    )
    lines = {
        verb: [place(x, row["taken"][verb]["seconds"]) for x, row in zip(across, rows, strict=True)]
        for verb in VERBS
    }
    labels, above = dict[str, float](), -math.inf
    for verb, line in sorted(lines.items(), key=lambda item: item[1][-1][1]):
        labels[verb] = above = max(line[-1][1] + 4, above + LINE)
    for verb, line in lines.items():
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts += [
            f'<polyline points="{drawn}" fill="none" stroke="{COLORS[verb]}" stroke-width="2"/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLORS[verb]}"/>' for x, y in line),
            f'<text x="{LEFT + WIDE + 8}" y="{labels[verb]:.1f}" fill="{COLORS[verb]}">{verb}'
            "</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
