"""Runs shapiq's approximators on games whose values another process knows; needs shapiq 1.8,
sparse-transform, galois, lightgbm and xgboost, which want Python 3.12, and nothing of gloss.

`peers.py` starts this and speaks to it in pickled messages. A question is a dictionary: `index`
(or "predict"), `method`, `players`, `budget`, `seed`, and `sets`, whose estimates are wanted, or
`masks`, which are to be predicted. Answers are ("values", masks) where values are asked for,
("found", numbers, different masks asked for, processor seconds) and ("refused", why). Masks are
(rows, players, packed bits); numbers are the bytes of float64.
"""

import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Sets = dict[tuple[int, ...], float]
# the half of what ProxySPEX itself searches that has 500 trees, not 1,000
GRID = {"n_estimators": [500], "max_depth": [3, 5], "learning_rate": [0.01, 0.1]}
ESTIMATES = {
    "SV": {
        "KernelSHAP": ("KernelSHAP", {}),
        "LeverageSHAP": ("LeverageSHAP", {}),
        "PolySHAP, paired": ("PolySHAP", {"max_order": 2, "pairing_trick": True}),
        "OddSHAP": ("OddSHAP", {}),
        "RegressionMSR": ("RegressionMSR", {"index": "SV"}),
        "ProxySHAP": ("ProxySHAP", {"max_order": 1, "index": "SV"}),
        "ProxySHAP, adjusted": ("ProxySHAP", {"max_order": 1, "index": "SV", "adjustment": True}),
        "SVARM-IQ": ("SVARMIQ", {"max_order": 1, "index": "SV"}),
    },
    "BV": {
        "RegressionMSR": ("RegressionMSR", {"index": "BV"}),
        "ProxySHAP": ("ProxySHAP", {"max_order": 1, "index": "BV"}),
        "ProxySHAP, adjusted": ("ProxySHAP", {"max_order": 1, "index": "BV", "adjustment": True}),
        "RegressionFBII, order 1": ("RegressionFBII", {"max_order": 1}),
        "RegressionFBII, order 2": ("RegressionFBII", {"max_order": 2}),
        "SVARM-IQ": ("SVARMIQ", {"max_order": 1, "index": "BV"}),
    },
    "SII": {
        "KernelSHAP-IQ": ("KernelSHAPIQ", {"max_order": 2, "index": "SII"}),
        "KernelSHAP-IQ, inconsistent": (
            "InconsistentKernelSHAPIQ",
            {"max_order": 2, "index": "SII"},
        ),
        "SVARM-IQ": ("SVARMIQ", {"max_order": 2, "index": "SII"}),
        "ProxySHAP": ("ProxySHAP", {"max_order": 2, "index": "SII"}),
        "ProxySHAP, adjusted": ("ProxySHAP", {"max_order": 2, "index": "SII", "adjustment": True}),
    },
    "BII": {
        "RegressionFBII, order 2": ("RegressionFBII", {"max_order": 2}),
        "SVARM-IQ": ("SVARMIQ", {"max_order": 2, "index": "BII"}),
        "ProxySHAP": ("ProxySHAP", {"max_order": 2, "index": "BII"}),
        "ProxySHAP, adjusted": ("ProxySHAP", {"max_order": 2, "index": "BII", "adjustment": True}),
    },
}
POLYNOMIALS = {
    "RegressionFBII, order 1": ("RegressionFBII", {"max_order": 1}),
    "RegressionFBII, order 2": ("RegressionFBII", {"max_order": 2}),
    "RegressionFSII, order 2": ("RegressionFSII", {"max_order": 2}),
    "KernelSHAP-IQ, k-SII": ("KernelSHAPIQ", {"max_order": 2, "index": "k-SII"}),
    "KernelSHAP": ("KernelSHAP", {}),
}
SPECTRA = {
    "SPEX": ("SPEX", {}),
    "ProxySPEX": ("ProxySPEX", {}),
    "ProxySPEX, no search": ("ProxySPEX", {}),
}
TREES = "ProxySHAP, its trees"


class Read(Exception):
    """Carries a spectrum out of SPEX or ProxySPEX, before it is cut down to an index."""


def made(name: str, settings: dict[str, Any], question: dict[str, Any]) -> Any:
    """An approximator, with the settings that it comes with where none are given."""
    from shapiq import approximator

    kind = getattr(approximator, name)
    return kind(n=question["players"], random_state=question["seed"], **settings)


def trees(seed: int, *, searched: bool) -> object:
    """ProxySPEX' own LightGBM, on one thread: more of them wait for each other busily."""
    from lightgbm import LGBMRegressor
    from sklearn.model_selection import GridSearchCV

    model = LGBMRegressor(random_state=seed, verbose=-1, n_jobs=1)
    return GridSearchCV(model, GRID, scoring="r2", cv=5) if searched else model


def spectrum(name: str, question: dict[str, Any], values: Callable) -> Sets:
    """The coefficient of each set in the basis of parities."""
    import shapiq.approximator.sparse.base as sparse

    def stop(found: Sets) -> None:
        raise Read(found)

    kind, settings = SPECTRA[name]
    if kind == "ProxySPEX":
        searched = name == "ProxySPEX"
        settings = settings | {"proxy_model": trees(question["seed"], searched=searched)}
    asked = made(kind, settings, question)
    sparse.fourier_to_moebius = asked.fourier_to_moebius = stop
    try:
        asked.approximate(question["budget"], values)
    except Read as read:
        return read.args[0]
    raise AssertionError("a spectrum is always converted")


def summed(coefficients: Sets, columns: np.ndarray) -> np.ndarray:
    """The sum over sets of the coefficient times the product of their columns."""
    found = np.zeros(len(columns))
    for one, coefficient in coefficients.items():
        found += float(coefficient) * columns[:, list(map(int, one))].prod(axis=1)
    return found


def predicted(question: dict[str, Any], values: Callable) -> tuple[np.ndarray, float]:
    """What a method says of the masks, and the processor time when it was known."""
    name, masks = question["method"], unpacked(question["masks"])
    if name in SPECTRA:
        coefficients, columns = spectrum(name, question, values), 1.0 - 2.0 * masks
    elif name in POLYNOMIALS:
        kind, settings = POLYNOMIALS[name]
        coefficients = made(kind, settings, question).approximate(question["budget"], values)
        coefficients, columns = coefficients.dict_values, masks * 1.0
    elif name == TREES:
        asked = made("ProxySHAP", {"max_order": 1, "index": "SV"}, question)
        base = asked.approximate(question["budget"], values).baseline_value
        return asked.proxy_model.predict(masks * 1.0) + base, time.process_time()
    else:
        raise KeyError(f"no method is called {name}")
    ended = time.process_time()
    return summed(coefficients, columns), ended


def estimated(question: dict[str, Any], values: Callable) -> tuple[np.ndarray, float]:
    """An index of the sets, and the processor time when it was known."""
    name, settings = ESTIMATES[question["index"]][question["method"]]
    found = made(name, settings, question).approximate(question["budget"], values).dict_values
    ended = time.process_time()
    each = {one: float(found.get(one, 0.0)) for one in question["sets"]}
    if question["index"] == "BV" and settings.get("max_order") == 2:  # the slope of a quadratic
        for one, value in found.items():
            for player in one if len(one) == 2 else ():
                if (player,) in each:
                    each[player,] += float(value) / 2
    return np.array(list(each.values())), ended


def unpacked(packed: tuple[int, int, bytes]) -> np.ndarray:
    """Masks that lay in bits."""
    rows, players, bits = packed
    each = np.frombuffer(bits, np.uint8).reshape(rows, -1)
    return np.unpackbits(each, axis=1, count=players).astype(bool)


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where LightGBM talks
    warnings.simplefilter("ignore")

    def tell(*message: object) -> None:
        pickle.dump(message, answers)
        answers.flush()

    import shapiq

    tell(shapiq.__version__)
    while True:
        try:
            question = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        seen: set[bytes] = set()

        def values(masks: np.ndarray, seen: set[bytes] = seen) -> np.ndarray:
            masks = np.asarray(masks).astype(bool)
            bits = np.packbits(masks, axis=1)
            seen.update(row.tobytes() for row in bits)
            tell("values", (*masks.shape, bits.tobytes()))
            return np.frombuffer(pickle.load(sys.stdin.buffer)).copy()  # some write into it

        begun = time.process_time()
        try:
            answer = predicted if question["index"] == "predict" else estimated
            numbers, ended = answer(question, values)
        except Exception as refused:  # whatever a peer raises is its answer
            tell("refused", f"{type(refused).__name__}: {refused}")
            continue
        tell("found", numbers.astype(np.float64).tobytes(), len(seen), ended - begun)


if __name__ == "__main__":
    main()
