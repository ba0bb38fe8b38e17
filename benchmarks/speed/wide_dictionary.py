"""What encoding with a wide dictionary costs, and wide dictionaries to try it on.

    python -m benchmarks.speed.wide_dictionary measure [--widths 8192 131072] [--json FILE]
    python -m benchmarks.speed.wide_dictionary make SUBJECT SITE TEXTS WIDTH OUT

`measure` takes CPU microseconds a token of `encode`, beside the matrix product alone and beside
selecting from all pre-activations of a few tokens at once, each width in a process of its own whose
peak memory it prints. `make` writes a dictionary whose features mean something, however many they
are: each one's direction is the centred vector of one token of the texts, and a token's codes are
the 32 features that point most its way.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gloss
from benchmarks.speed.rows import Row, add_json, report
from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.site_reader import SiteReader
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.models.dictionary import ENCODED_AT_ONCE, SparseCoder, Weights
from gloss.models.formats import save_dictionary
from gloss.models.model_settings import SPECIAL
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK
from gloss.models.subject import Subject
from gloss.store.corpus import corpus_stretches

K, UNIT = 32, "us of CPU a token"
SPARE = 1.5  # tokens that are read for each feature: some stand in the same words as another
STRETCH = 2**16  # tokens that are read at a time


def main() -> None:
    parser = argparse.ArgumentParser(description="Wide dictionaries: their speed, and some to try.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    measured = verbs.add_parser("measure")
    measured.add_argument("--widths", type=int, nargs="+", default=[8192, 131_072])
    measured.add_argument("--tokens", type=int, default=512)
    measured.add_argument("--d", type=int, default=128)
    measured.add_argument("--rounds", type=int, default=5)
    measured.add_argument("--threads", type=int, default=1)
    add_json(measured)
    measured.add_argument("--here", type=int, help="measure this width in this process")
    made = verbs.add_parser("make")
    for name in ("subject", "site", "texts"):
        made.add_argument(name)
    made.add_argument("width", type=int)
    made.add_argument("out", type=Path)
    made.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.verb == "make":
        make(asked)
    elif asked.here:
        print(json.dumps(measure(asked.here, asked)))
    else:
        report([row for width in asked.widths for row in measured_apart(width, asked)], asked.json)


def measured_apart(width: int, asked: argparse.Namespace) -> list[Row]:
    """What encoding with this width takes, in a process of its own."""
    given = [f"--{name}={getattr(asked, name)}" for name in ("tokens", "d", "rounds", "threads")]
    module = ["-m", "benchmarks.speed.wide_dictionary", "measure"]
    command = [sys.executable, *module, f"--here={width}", *given]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    product = Row(f"the product alone, {width:,} features", told["product"], UNIT)
    others = {"encode": "encode", "at_once": "selecting from all of few tokens"}
    rows = [
        Row(
            f"{name}, {width:,} features",
            told[key],
            UNIT,
            told[key] / told["product"],
            "the product",
        )
        for key, name in others.items()
    ]
    unit = f"MiB at the peak, {told['weights_mib']:,.0f} of them weights"
    return [product, *rows, Row(f"encode, {width:,} features", told["peak_mib"], unit)]


def measure(width: int, asked: argparse.Namespace) -> dict[str, float]:
    """Medians of rounds in which the three take turns, and peak memory up to the end of `encode`,
    which comes first.
    """
    torch.set_num_threads(asked.threads)
    generator = torch.Generator().manual_seed(0)
    before = peak_mib()
    directions = torch.randn(width, asked.d, generator=generator)
    weights = Weights(directions, torch.zeros(width), directions, torch.zeros(asked.d))
    dictionary = SparseCoder(Site("resid_post", 0), Site("resid_post", 0), weights, LargestK(K))
    x = torch.randn(asked.tokens, asked.d, generator=generator)
    rows = max(1, ENCODED_AT_ONCE // width)  # of which all pre-activations are held
    few = x[: 8 * rows]
    dictionary.encode(x)
    peak = peak_mib()

    def at_once() -> None:
        for part in few.split(rows):
            pre = torch.addmm(weights.encoder_bias, part - weights.bias, weights.encoder.T)
            LargestK(K).select(pre)

    space = torch.empty(rows, width)

    def product() -> None:
        for part in few.split(rows):
            out = space[: len(part)]
            torch.addmm(weights.encoder_bias, part - weights.bias, weights.encoder.T, out=out)

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "encode": (lambda: dictionary.encode(x), len(x)),
        "at_once": (at_once, len(few)),
        "product": (product, len(few)),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, (way, tokens) in ways.items():
            begun = time.process_time()
            way()
            taken[name].append((time.process_time() - begun) / tokens * 1e6)
    return {
        "width": width,
        **{name: statistics.median(each) for name, each in taken.items()},
        "peak_mib": peak,
        "before_mib": before,
        "weights_mib": 4 * width * asked.d / 2**20,
    }


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make(asked: argparse.Namespace) -> None:
    subject = gloss.load_model(asked.subject)
    site, rng = subject.site(asked.site), np.random.default_rng(asked.seed)
    vectors = drawn_vectors(subject, site, asked.texts, asked.width, rng)
    bias = vectors.mean(0)
    directions = torch.nn.functional.normalize(vectors.sub_(bias), dim=1)
    weights = Weights(directions, torch.zeros(asked.width), directions.clone(), bias)
    save_dictionary(SparseCoder(site, site, weights, LargestK(K)), asked.out, format="sparsify")
    print(f"{asked.out}: {asked.width:,} features of {site}")


def drawn_vectors(
    subject: Subject, site: Site, texts: str, width: int, rng: np.random.Generator
) -> torch.Tensor:
    """What is at the site at so many tokens of the texts, drawn at random, no two alike."""
    left_out = find_left_out_tokens(subject, SPECIAL)
    reader = SiteReader(subject, site, 2**13, left_out)
    found: list[torch.Tensor] = []
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus"
        read_texts(subject, open_texts(texts), corpus, 256, int(SPARE * width))
        for stretch in corpus_stretches(corpus, STRETCH):
            read = reader.read_batches(stretch.tokens, stretch.lengths)
            found += [batch.vectors.float().cpu() for batch in read]
    vectors = torch.cat(found)
    del found
    # the same words at the beginnings of two texts are alike but for rounding
    sums = vectors @ torch.from_numpy(rng.normal(size=vectors.shape[1])).float()
    alone = np.unique(np.round(sums.numpy(), 4), return_index=True)[1]
    if len(alone) < width:
        raise SystemExit(
            f"the texts have {len(alone):,} tokens in words of their own among the first"
            f" {len(vectors):,}, and {width:,} features were asked for; give longer texts"
        )
    return vectors[torch.from_numpy(np.sort(rng.permutation(alone)[:width]))]


if __name__ == "__main__":
    main()
