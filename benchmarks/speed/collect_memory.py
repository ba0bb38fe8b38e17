"""Peak memory of collecting N tokens and 4 N tokens, each in a process of its own, and their ratio.

python -m benchmarks.speed.collect_memory [--tokens 100000] [--width 4096]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.speed.rows import Row, add_json, report
from gloss.collect.collect import Collect
from gloss.collect.texts import open_texts
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK
from gloss.models.subject import Subject

D_MODEL = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument(
        "--here", action="store_true", help="collect in this process and print its peak"
    )
    add_json(parser)
    chosen = parser.parse_args()
    if chosen.here:
        print(json.dumps(collect(chosen)))
        return
    rows = []
    for times in (1, 4):
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.collect_memory",
            "--here",
            "--tokens",
            str(times * chosen.tokens),
            "--width",
            str(chosen.width),
        ]
        rows.append(
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        )
    less, more = rows
    unit = f"MiB at the peak, {less['before_mib']:,.0f} of them before"
    first = Row(f"collect, {less['tokens']:,} tokens", less["peak_mib"], unit)
    ratio = more["peak_mib"] / less["peak_mib"]
    name = f"collect, {more['tokens']:,} tokens"
    report([first, Row(name, more["peak_mib"], unit, ratio, first.name)], chosen.json)


def collect(chosen: argparse.Namespace) -> dict[str, float]:
    """Collect from one long file of random words.

    Peak memory in MiB, and what of it the imports and the model took.
    """
    torch.manual_seed(0)  # noqa: TID251
    rng = np.random.default_rng(0)
    words = np.array(
        ["".join(rng.choice(list("abcdefghij"), rng.integers(2, 7))) for _ in range(2000)]
    )
    subject = Subject(model(), PlainTokenizer(tokenizer(words.tolist()), 0))
    decoder_directions = torch.randn(chosen.width, D_MODEL)
    site = Site("resid_post", 0)
    weights = Weights(
        decoder_directions,
        torch.zeros(chosen.width),
        decoder_directions / decoder_directions.norm(dim=1, keepdim=True),
        torch.zeros(D_MODEL),
    )
    dictionary = SparseCoder(site, site, weights, LargestK(32))
    with tempfile.TemporaryDirectory() as name:
        text = Path(name) / "long.txt"
        with text.open("w") as file:
            # a word is more than one token, so there is enough
            for _ in range(chosen.tokens // 1000):
                file.write(" ".join(rng.choice(words, 1000)) + "\n")
        before = peak()
        settings = Collect(context_length=128, max_tokens=chosen.tokens, shard_tokens=2**14)
        report = settings.run(subject, dictionary, open_texts(text), Path(name) / "out")
    return {
        "tokens": report.tokens,
        "nonzeros": report.nonzeros,
        "peak_mib": peak(),
        "before_mib": before,
    }


def peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def model() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=1024,
            hidden_size=D_MODEL,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def tokenizer(words: list[str]) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=["<start>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([" ".join(words)], trainer)
    return made


if __name__ == "__main__":
    main()
