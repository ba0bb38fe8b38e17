"""What shapiq's approximators estimate of games whose values lie in files; needs shapiq 1.8 or
newer and xgboost, and nothing of gloss.

    python indices_peers.py FOLDER DRAWS BUDGET...

Prints a line of JSON for each game, index, method, budget and draw.
"""

import json
import sys
import time
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import shapiq
from shapiq import approximator as peers


def methods(n: int, seed: int) -> dict[str, dict[str, object]]:
    """A constructor for each index and method, all with the settings that they come with."""
    kinds: dict[str, dict[str, tuple]] = {
        "SV": {
            "KernelSHAP": (peers.KernelSHAP, {}),
            "LeverageSHAP": (peers.LeverageSHAP, {}),
            "PolySHAP, paired": (peers.PolySHAP, {"max_order": 2, "pairing_trick": True}),
            "OddSHAP": (peers.OddSHAP, {}),
            "RegressionMSR": (peers.RegressionMSR, {"index": "SV"}),
            "ProxySHAP": (peers.ProxySHAP, {"max_order": 1, "index": "SV"}),
            "ProxySHAP, adjusted": (
                peers.ProxySHAP,
                {"max_order": 1, "index": "SV", "adjustment": True},
            ),
            "SVARM-IQ": (peers.SVARMIQ, {"max_order": 1, "index": "SV"}),
        },
        "BV": {
            "RegressionMSR": (peers.RegressionMSR, {"index": "BV"}),
            "ProxySHAP": (peers.ProxySHAP, {"max_order": 1, "index": "BV"}),
            "ProxySHAP, adjusted": (
                peers.ProxySHAP,
                {"max_order": 1, "index": "BV", "adjustment": True},
            ),
            "RegressionFBII": (peers.RegressionFBII, {"max_order": 1}),
            "SVARM-IQ": (peers.SVARMIQ, {"max_order": 1, "index": "BV"}),
        },
        "SII": {
            "KernelSHAP-IQ": (peers.KernelSHAPIQ, {"max_order": 2, "index": "SII"}),
            "KernelSHAP-IQ, inconsistent": (
                peers.InconsistentKernelSHAPIQ,
                {"max_order": 2, "index": "SII"},
            ),
            "SVARM-IQ": (peers.SVARMIQ, {"max_order": 2, "index": "SII"}),
            "ProxySHAP": (peers.ProxySHAP, {"max_order": 2, "index": "SII"}),
            "ProxySHAP, adjusted": (
                peers.ProxySHAP,
                {"max_order": 2, "index": "SII", "adjustment": True},
            ),
        },
    }
    return {
        index: {
            name: lambda kind=kind, given=given: kind(n, random_state=seed, **given)
            for name, (kind, given) in each.items()
        }
        for index, each in kinds.items()
    }


def estimate(make: object, values: np.ndarray, sets: list[tuple[int, ...]], budget: int) -> dict:
    """The estimates of these sets, how many different masks were asked for, and the seconds."""
    asked: set[int] = set()
    weights = 1 << np.arange(len(values).bit_length() - 1)

    def game(masks: np.ndarray) -> np.ndarray:
        codes = np.asarray(masks).astype(np.int64) @ weights
        asked.update(codes.tolist())
        return values[codes]

    begun = time.process_time()
    found = make().approximate(budget, game).dict_values
    return {
        "estimates": [float(found.get(one, 0.0)) for one in sets],
        "masks": len(asked),
        "seconds": time.process_time() - begun,
    }


def main() -> None:
    folder, draws, *budgets = sys.argv[1:]
    warnings.simplefilter("ignore")
    print(f"shapiq {shapiq.__version__}", file=sys.stderr)
    for path in sorted(Path(folder).glob("*.npy")):
        values = np.load(path)
        n = len(values).bit_length() - 1
        sets = {"SV": [(player,) for player in range(n)]}
        sets |= {"BV": sets["SV"], "SII": list(combinations(range(n), 2))}
        for budget in (int(each) for each in budgets if int(each) < len(values)):
            for draw in range(int(draws)):
                for index, each in methods(n, draw).items():
                    for name, make in each.items():
                        found = estimate(make, values, sets[index], budget)
                        row = {"game": path.stem, "index": index, "method": name}
                        print(json.dumps({**row, "budget": budget, "draw": draw, **found}))
                        sys.stdout.flush()


if __name__ == "__main__":
    main()
