"""The experiment behind `gloss demo`: the embedded subject reads the standard library of the Python that runs it."""

from pathlib import Path

from gloss.run.experiment import Experiment


def experiment(folder: Path, features: int) -> Experiment:
    """Everything embedded, nothing downloaded, no language model asked."""
    return Experiment.of(
        {
            "run": {"folder": str(folder), "features": features},
            "collect": {"texts": ["stdlib"], "max_tokens": 400_000},
            "decompose": {"dictionary": "embedded", "name": "demo"},
            "sample": {"method": "quantiles"},
            "contexts": {"shown": 200, "silent_shown": 2000},
            "explain": {"method": "rule"},
            "score": {"method": "execution"},
        }
    )
