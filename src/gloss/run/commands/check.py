"""Print a dictionary as measured on real text, beside what its card says."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.errors import BadInput, Mismatch
from gloss.evaluate.dictionary_check import (
    DictionaryCheck,
    check_dictionary,
    compare_with_card,
    site_reconstructions,
)
from gloss.models.dictionary import Card
from gloss.models.model_settings import LeaveOut
from gloss.models.subject import Subject
from gloss.records import PADDING, Estimate
from gloss.run.corpus_texts import with_chat_template
from gloss.run.experiment import SubjectSettings
from gloss.run.progress import out
from gloss.run.sources import NamedDictionary, NamedModel
from gloss.store.corpus import Corpus

CONTEXT = 256  # tokens of a sequence, where the subject takes so many
ROWS = 16  # sequences in one forward pass


def print_dictionary_check(
    model: NamedModel,
    dictionary: NamedDictionary,
    texts: tuple[str, ...],
    tokens: int,
    leave_out: LeaveOut,
    massive: float,
) -> None:
    """Print what was measured.

    Raises Mismatch for a dictionary that does not fit, by shape or by what it explains.
    """
    subject, asked = model.load(), model.settings
    without = find_left_out_tokens(subject, leave_out)
    read = dictionary.load(subject)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = read_checked_corpus(
            subject, asked, texts, tokens, leave_out, Path(scratch) / "corpus"
        )
    batches = sequence_batches(corpus, subject.start_token)
    measured = check_dictionary(
        subject,
        read,
        batches,
        np.random.default_rng(0),
        without,
        massive,
    )
    card = getattr(read, "card", Card())
    print_check_table(measured, card, f"{dictionary.name} at {read.reads} of {asked.model}")
    rng = np.random.default_rng(0)
    for site, estimate in site_reconstructions(measured.reconstruction.every, rng).items():
        value, interval = measure_cells(estimate)
        out.print(f"FVU at {site}: {value} ({interval})", highlight=False)
    if special := int(np.isin(corpus.tokens, list(without)).sum()):
        out.print(f"{special:,} of {len(corpus):,} tokens are left out", highlight=False)
    if not measured.fits:
        raise Mismatch(
            f"{dictionary.name} explains less at {read.reads} of {asked.model} than the mean does"
            f" (FVU {measured.fvu_normal.value:.2f}); give the site, the model and the revision"
            " that it was trained on"
        )


def read_checked_corpus(
    subject: Subject,
    asked: SubjectSettings,
    texts: tuple[str, ...],
    tokens: int,
    leave_out: LeaveOut,
    folder: Path,
) -> Corpus:
    """So many tokens of the texts, in sequences of CONTEXT or of what the subject takes, in a
    folder that is not there yet.
    """
    length = min(CONTEXT, subject.context or CONTEXT)
    read_texts(
        subject, with_chat_template(open_texts(texts), asked), folder, length, tokens, leave_out
    )
    return Corpus.open(folder)


def sequence_batches(
    corpus: Corpus, start_token: int | None, most: int | None = None
) -> list[Int64[Tensor, "_ position"]]:
    """The corpus, or its first sequences, as batches of sequences of like length, the longest
    first, each behind its start token and filled up with padding.
    """
    front = [] if start_token is None else [start_token]
    offsets = corpus.offsets if most is None else corpus.offsets[: most + 1]
    if len(corpus) < 2:
        raise BadInput(
            "there is no text to check the dictionary on; give texts with at least two tokens"
        )
    rows = [
        torch.tensor([*front, *corpus.tokens[begin:end].tolist()])
        for begin, end in pairwise(offsets.tolist())
    ]
    rows.sort(key=len, reverse=True)
    return [
        pad_sequence(rows[at : at + ROWS], batch_first=True, padding_value=PADDING)
        for at in range(0, len(rows), ROWS)
    ]


def print_check_table(measured: DictionaryCheck, card: Card, title: str) -> None:
    table = Table("measure", "measured", "95 % interval", "card", "", title=Text(title))
    stated = {comparison.name: comparison for comparison in compare_with_card(measured, card)}
    for label, name, estimate in (
        ("L0", "l0", measured.l0),
        ("FVU", "fvu", measured.fvu),
        ("... without massive tokens", "fvu_normal", measured.fvu_normal),
        ("cross-entropy recovered", "cross_entropy_recovered", measured.recovered),
        ("... massive tokens left as they are", "", measured.recovered_normal),
        ("... over the mean", "", measured.recovered_over_mean),
        ("divergence recovered", "", measured.kl_recovered),
        ("cross-entropy, clean", "", measured.clean),
        ("... spliced", "", measured.spliced),
        ("... zero-ablated", "", measured.zero_ablated),
        ("... mean-ablated", "", measured.mean_ablated),
    ):
        found = stated.get(name)
        beside = (
            (f"{found.stated:.4g}", "agrees" if found.agrees else "[red]differs[/]")
            if found
            else ("-", "")
        )
        table.add_row(label, *measure_cells(estimate), *beside)
    table.add_row(
        "dead share",
        f"{measured.dead_share:.4f}",
        "",
        "-" if card.dead_share is None else f"{card.dead_share:.4f}",
        "",
    )
    out.print(table)
    counted = f"n = {measured.tokens:,} tokens in {measured.sequences:,} sequences"
    found = f"{measured.massive:,} of them massive ({measured.massive / measured.tokens:.2%})"
    out.print(
        f"{counted}; {found}; the median length is {measured.median_length:.4g}", highlight=False
    )


def measure_cells(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.4f}", f"{estimate.low:.4f} to {estimate.high:.4f}"
