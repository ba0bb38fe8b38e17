"""Measure a dictionary on texts that it never saw, and save it as it comes with gloss: 16-bit
floats, and its card.

python experiments/ship_dictionary.py MODEL DICTIONARY TEXTS OUT [--corpus TEXT] [--tokens 30000]

MODEL and DICTIONARY may be the run that trained it, as runs/smollm2-dictionary.
"""

import argparse
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

import gloss
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.evaluate.dictionary_check import check_dictionary
from gloss.models.dictionary import Dictionary
from gloss.models.formats import save_dictionary
from gloss.models.subject import Subject
from gloss.records import Estimate
from gloss.run.commands.check import sequence_batches
from gloss.store.corpus import Corpus


def ship(
    subject: Subject,
    dictionary: Dictionary,
    unseen: list[str],
    out: Path,
    tokens: int,
    **said: str,
) -> None:
    """Write the dictionary, with what is measured on `tokens` of the unseen texts, and print it."""
    with tempfile.TemporaryDirectory() as scratch:
        read_texts(subject, open_texts(unseen), Path(scratch) / "corpus", 256, tokens)
        measured = check_dictionary(
            subject,
            dictionary,
            sequence_batches(Corpus.open(Path(scratch) / "corpus"), subject.start_token),
            np.random.default_rng(0),
        )
    card = replace(
        dictionary.card,
        fvu=measured.fvu.value,
        fvu_normal=measured.fvu_normal.value,
        l0=measured.l0.value,
        dead_share=measured.dead_share,
        cross_entropy_recovered=measured.recovered.value,
        **said,
    )
    save_dictionary(replace(dictionary, card=card), out, dtype=torch.float16)
    for field in fields(measured):
        value = getattr(measured, field.name)
        if isinstance(value, Estimate | float | int):
            print(f"{field.name}: {value}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("dictionary")
    arguments.add_argument("texts")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--corpus", default="", help="what it was trained on, in words")
    arguments.add_argument("--name", default="", help="what the model is called")
    arguments.add_argument("--tokens", type=int, default=30_000)
    chosen = arguments.parse_args()
    ship(
        gloss.load_model(chosen.model, device="cpu"),
        gloss.load_dictionary(chosen.dictionary),
        [chosen.texts],
        chosen.out,
        chosen.tokens,
        corpus=chosen.corpus,
        model=chosen.name,
    )


if __name__ == "__main__":
    main()
