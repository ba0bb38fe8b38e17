"""Train the embedded dictionary by `gloss decompose` on the embedded subject.

Measure it on files that neither has seen.

python experiments/train_demo_dictionary.py OUT [--site resid_post.2] [--k 16] [--tokens 12000000]
"""

import argparse
import sysconfig
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from train_demo_subject import is_held_out

from gloss.collect.text_files import standard_library_files
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.evaluate.dictionary_check import check_dictionary
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.subject import Subject
from gloss.run.commands.check import sequence_batches
from gloss.run.experiment import Experiment
from gloss.run.pipeline import run_until
from gloss.run.plan import embedded_folder
from gloss.run.stages.decompose import dictionary_folder
from gloss.store.corpus import Corpus


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--site", default="resid_post.2")
    arguments.add_argument("--k", type=int, default=16)
    arguments.add_argument("--width", type=int, default=2048)
    arguments.add_argument("--tokens", type=int, default=12_000_000)
    chosen = arguments.parse_args()
    files = standard_library_files()
    trainer = {
        "method": "topk",
        "site": chosen.site,
        "width": chosen.width,
        "k": chosen.k,
        "tokens": chosen.tokens,
    }
    experiment = Experiment.of(
        {
            "run": {"folder": "runs/demo-dictionary"},
            "collect": {
                "texts": [str(path) for path in files if not is_held_out(path)],
                "max_tokens": 0,
            },
            "decompose": trainer,
        }
    )
    dictionary = load_dictionary(dictionary_folder(run_until(experiment, "decompose")))
    subject = Subject.load(embedded_folder("subject"))
    with tempfile.TemporaryDirectory() as scratch:
        unseen = [str(path) for path in files if is_held_out(path)]
        read_texts(subject, open_texts(unseen), Path(scratch) / "corpus", 256, 60_000)
        measured = check_dictionary(
            subject,
            dictionary,
            sequence_batches(Corpus.open(Path(scratch) / "corpus"), subject.start_token),
            np.random.default_rng(0),
        )
    card = replace(
        dictionary.card,
        fvu=measured.fvu.value,
        l0=measured.l0.value,
        dead_share=measured.dead_share,
        cross_entropy_recovered=measured.recovered.value,
        corpus=f"the standard library of Python {sysconfig.get_python_version()}",
        model="gloss embedded subject",
    )
    save_dictionary(replace(dictionary, card=card), chosen.out, dtype=torch.float16)
    print(measured)


if __name__ == "__main__":
    main()
