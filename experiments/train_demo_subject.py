"""Train the embedded subject: a small Llama on the Python standard library.

See docs/embedded.md for what it reached.

    python experiments/train_demo_subject.py OUT [--tokens 18e6]

Each training row is the start token and 255 tokens of one file, as in `collect`. Hidden matrices
learn by Muon (Jordan et al., 2024), embeddings and gains by AdamW, with a linear warm-up and a
linear decay to zero over the budget of tokens.
"""

import argparse
import hashlib
import json
import math
import sysconfig
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gloss.collect.text_files import SKIPPED, standard_library_files

ROW = 256
BATCH = 32
START = "<|start|>"
UNTRIED = -100  # the label that the loss leaves out


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--tokens", type=float, default=18e6, help="training budget, in tokens")
    arguments.add_argument(
        "--tests-share",
        type=float,
        default=0.25,
        help="share of rows drawn from the library's own tests",
    )
    chosen = arguments.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    library, held_out, tests = read_corpus()
    tokenizer = train_tokenizer(library)
    tokenizer.save_pretrained(chosen.out)
    rows = {
        "library": Windows(tokenizer, library),
        "tests": Windows(tokenizer, tests),
        "held_out": Windows(tokenizer, held_out),
    }
    print({name: f"{len(windows.tokens):,} tokens" for name, windows in rows.items()}, flush=True)

    model = LlamaForCausalLM(configuration(len(tokenizer), tokenizer.bos_token_id))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    history = train(model, rows, chosen, rng)
    model.half().save_pretrained(chosen.out)
    (chosen.out / "training.json").write_text(json.dumps(history, indent=1))


def configuration(vocabulary: int, start: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=ROW,
        tie_word_embeddings=True,
        bos_token_id=start,
        eos_token_id=start,
        rms_norm_eps=1e-5,
        initializer_range=0.02,
    )


def read_corpus() -> tuple[list[str], list[str], list[str]]:
    """The library split by a hash of the file's name into 95 % and 5 %, and the library's tests
    where installed.
    """
    library: list[str] = []
    held_out: list[str] = []
    for path in standard_library_files():
        (held_out if is_held_out(path) else library).append(
            path.read_text("utf-8", errors="replace")
        )
    everything = standard_library_files(skipped=SKIPPED - {"test", "tests"})
    root = Path(sysconfig.get_path("stdlib"))
    tests = [
        p.read_text("utf-8", errors="replace")
        for p in everything
        if {"test", "tests"} & set(p.relative_to(root).parts)
    ]
    return library, held_out, tests


def is_held_out(path: Path) -> bool:
    """Whether neither the subject nor its dictionary is trained on this file."""
    return int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % 20 == 0


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=4096, special_tokens=[START], initial_alphabet=alphabet),
    )
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=START,
        eos_token=START,
        pad_token=START,
        model_max_length=ROW,
    )


class Windows:
    """Rows of the start token and 255 tokens, each inside one document."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> None:
        encoded = (
            tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        )
        self.start = tokenizer.bos_token_id
        self.documents = [np.array(ids, dtype=np.int64) for ids in encoded if len(ids) > 1]
        self.tokens = np.concatenate(self.documents) if texts else np.empty(0, np.int64)
        self.bytes = sum(len(text.encode()) for text in texts)
        self.share = np.array([len(ids) for ids in self.documents], dtype=float)
        if texts:
            self.share /= self.share.sum()

    def draw(self, number: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        picked = rng.choice(len(self.documents), number, p=self.share)
        offsets = [int(rng.integers(0, max(1, len(self.documents[i]) - ROW + 2))) for i in picked]
        return self.rows([(int(i), offset) for i, offset in zip(picked, offsets, strict=True)])

    def rows(self, places: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.full((len(places), ROW), self.start)
        labels = torch.full((len(places), ROW), UNTRIED)
        for row, (document, offset) in enumerate(places):
            piece = torch.from_numpy(self.documents[document][offset : offset + ROW - 1])
            tokens[row, 1 : len(piece) + 1] = piece
            labels[row, 1 : len(piece) + 1] = piece
        return tokens, labels

    def all_rows(self) -> list[tuple[int, int]]:
        return [
            (i, offset)
            for i, ids in enumerate(self.documents)
            for offset in range(0, len(ids), ROW - 1)
        ]


def train(
    model: LlamaForCausalLM,
    rows: dict[str, Windows],
    chosen: argparse.Namespace,
    rng: np.random.Generator,
) -> dict:
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(hidden, lr=0.02, weight_decay=0.01, adjust_lr_fn="original"),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01),
    ]
    steps = math.ceil(chosen.tokens / (ROW * BATCH))
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            o, lambda s: min(1.0, (s + 1) / 100, (steps - s) / (0.7 * steps))
        )
        for o in optimizers
    ]
    from_tests = round(BATCH * chosen.tests_share) if len(rows["tests"].tokens) else 0
    history: dict = {"steps": steps, "batch": BATCH, "row": ROW, "losses": []}
    begun, running = time.time(), 0.0
    for step in range(steps):
        drawn = [rows["library"].draw(BATCH - from_tests, rng)] + (
            [rows["tests"].draw(from_tests, rng)] if from_tests else []
        )
        tokens, labels = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        running += loss.item()
        if (step + 1) % 20 == 0:
            rate = (step + 1) * ROW * BATCH / (time.time() - begun)
            print(
                f"step {step + 1}/{steps} loss {running / 20:.3f} {rate:,.0f} tokens/s", flush=True
            )
            running = 0.0
        if (step + 1) % 200 == 0 or step + 1 == steps:
            history["losses"].append({"step": step + 1, **held_out_loss(model, rows["held_out"])})
            print(history["losses"][-1], flush=True)
            model.save_pretrained(chosen.out / "checkpoint")
    return history


@torch.inference_mode()
def held_out_loss(model: LlamaForCausalLM, windows: Windows) -> dict[str, float]:
    """Nats a token and bits a byte over every held-out row."""
    places, total, count = windows.all_rows(), 0.0, 0
    for first in range(0, len(places), BATCH):
        tokens, labels = windows.rows(places[first : first + BATCH])
        tried = int((labels[:, 1:] != UNTRIED).sum())
        total += model(input_ids=tokens, labels=labels).loss.item() * tried
        count += tried
    return {"nats_per_token": total / count, "bits_per_byte": total / math.log(2) / windows.bytes}


if __name__ == "__main__":
    main()
