"""What a proxy saves: comments read by one classifier, and by another that learnt from other texts.

    python -m benchmarks.attribute.proxies [--games 10] [--values 64 128 256] [--seed 0]

The proxy is trained on an eighth of the comments, none of which the model asked about has seen;
the stranger on labels that were shuffled. True R2 is on 3,000 fresh masks of each kind; `auto` has
the same values of the model asked, on the same masks.
"""

import argparse

import numpy as np
import torch

from benchmarks.attribute import comments
from benchmarks.attribute.predictions import KEPT
from benchmarks.quality.data import found
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.proxied import Proxied

WORDS = (20, 28)
FRESH = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=10)
    parser.add_argument("--values", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folder = found("goemotions")
    if folder is None:
        raise SystemExit("skipped, for there is no folder goemotions in GLOSS_DATA")
    rng = np.random.default_rng(asked.seed)
    train, test = (comments.comments(folder, split) for split in ("train", "test"))
    few = len(train) // 8
    shuffled = [
        (words, bool(label))
        for (words, _), label in zip(
            train[:few], rng.permutation([label for _, label in train[:few]]), strict=True
        )
    ]
    model = comments.trained(train[few:], rng)
    proxies = {
        "proxy": comments.trained(train[:few], rng),
        "stranger": comments.trained(shuffled, rng),
    }
    texts = [words for words, _ in test if WORDS[0] <= len(words) <= WORDS[1]]
    rows: dict[tuple[int, str, str], list[float]] = {}
    for number in rng.permutation(len(texts))[: asked.games].tolist():
        game = comments.game(model, texts[number])
        truths = {
            kind: (masks, game.values(masks))
            for kind, kept in KEPT.items()
            for masks in [rng.random((FRESH, len(game.players))) < kept]
        }
        for values in asked.values:
            auto, seed = Auto(values), [asked.seed, number]
            told = {"auto": auto.attribute(game, np.random.default_rng(seed))}
            for name, proxy in proxies.items():
                beside = Proxied(comments.game(proxy, texts[number]), auto, 1024, name)
                told[name] = beside.attribute(game, np.random.default_rng(seed))
            for name, each in told.items():
                for kind, (masks, true) in truths.items():
                    rows.setdefault((values, name, kind), []).append(
                        1 - float(np.square(true - each.predict(masks)).mean() / true.var())
                    )
                if each.proxy:
                    rows.setdefault((values, name, "used"), []).append(each.proxy.used)
                    rows.setdefault((values, name, "r"), []).append(each.proxy.correlation)
                rows.setdefault((values, name, "claimed"), []).append(each.faithfulness.r2.value)
    print(f"{asked.games} comments of {WORDS[0]} to {WORDS[1]} words, seed {asked.seed}")
    for values in asked.values:
        for name in ("auto", *proxies):
            own = {
                what: np.array(each)
                for (v, n, what), each in rows.items()
                if (v, n) == (values, name)
            }
            lost = own["half"] - np.array(rows[values, "auto", "half"])
            print(
                values,
                name,
                {what: f"{each.mean():.3f}" for what, each in own.items()},
                f"more than auto {lost.mean():+.3f}, least {lost.min():+.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
