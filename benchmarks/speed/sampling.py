"""Processor time of gathering one feature's examples, on a planted subject, for every placement.

python benchmarks/speed/sampling.py [--tokens 1000000]
"""

import argparse
import json
import time

import numpy as np

from gloss.models.planted import plant
from gloss.sample.examples import PLACEMENTS, SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    asked = parser.parse_args()
    planted = plant(np.random.default_rng(0), tokens=asked.tokens, features=46)
    told = {
        "tokens": asked.tokens,
        "features": len(planted.features),
        "sampling": repr(SamplingSettings()),
    }
    for placement in PLACEMENTS:
        times = [spent(planted, SamplingSettings(placement=placement)) for _ in range(3)]
        told |= {f"{placement}_cpu_ms_a_feature": round(1000 * min(times), 1)}
    print(json.dumps(told, indent=1))


def spent(planted, sampling: SamplingSettings) -> float:
    """Processor seconds a feature."""
    rng, begun = np.random.default_rng(0), time.process_time()
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        gather_examples(feature.feature, activations, planted.corpus, Quantiles(), sampling, rng)
    return (time.process_time() - begun) / len(planted.features)


if __name__ == "__main__":
    main()
