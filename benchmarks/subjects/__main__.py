"""Measure every causal architecture and write docs/subjects.md, or look at some: `python -m
benchmarks.subjects [NAME …]`.
"""

import sys
from pathlib import Path

import torch
import transformers

from benchmarks.subjects.measure import measured
from benchmarks.subjects.page import counts, line, page
from benchmarks.subjects.tiny import kinds

PAGE = Path(__file__).parents[2] / "docs" / "subjects.md"


def main(chosen: list[str]) -> None:
    """Print a line for each architecture; write the page where all were asked for."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows = []
    for row in measured(chosen or sorted(kinds())):
        print(f"{row.model_type}: refused: {row.reason}" if row.refused else line(row), flush=True)
        rows.append(row)
    print("\n".join(counts(rows)))
    if not chosen:
        PAGE.write_text(page(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
