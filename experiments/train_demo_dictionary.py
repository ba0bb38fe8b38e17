"""Train the embedded dictionary by `gloss decompose` on the embedded subject.

Measure it on files that neither has seen.

python experiments/train_demo_dictionary.py OUT [--site resid_post.2] [--k 16] [--tokens 12000000]
"""

import argparse
import sysconfig
from pathlib import Path

from ship_dictionary import ship
from train_demo_subject import is_held_out

from gloss.collect.text_files import standard_library_files
from gloss.models.bundled import embedded_folder
from gloss.models.formats import load_dictionary
from gloss.models.subject import Subject
from gloss.run.experiment import Experiment
from gloss.run.pipeline import run_until
from gloss.run.stages.decompose import dictionary_folder


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
    ship(
        Subject.load(embedded_folder("subject")),
        load_dictionary(dictionary_folder(run_until(experiment, "decompose"))),
        [str(path) for path in files if is_held_out(path)],
        chosen.out,
        60_000,
        corpus=f"the standard library of Python {sysconfig.get_python_version()}",
        model="gloss embedded subject",
    )


if __name__ == "__main__":
    main()
