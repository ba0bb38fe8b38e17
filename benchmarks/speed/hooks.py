"""Time of a subject's run against the plain forward pass of the same model: medians of interleaved
rounds, and their ratios.

    python benchmarks/speed/hooks.py [MODEL] [--rounds 20] [--threads 1]

Without a MODEL (a folder), a random Llama of 8 layers is measured.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.models.sites import Site
from gloss.models.subject import Subject


def main() -> None:
    """Print one line for each way of running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--positions", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    subject = Subject.load(chosen.model) if chosen.model else random_subject()
    tokens = torch.randint(
        subject.config.vocab_size,
        (chosen.sequences, chosen.positions),
        generator=torch.Generator().manual_seed(0),
    ).to(subject.device)
    seconds = medians(ways(subject, tokens), chosen.rounds)
    plain = seconds["plain forward"]
    print(
        f"{subject.layers} layers, {chosen.sequences} x {chosen.positions} tokens, {chosen.threads}"
        f" threads, on {subject.device}"
    )
    for name, median in seconds.items():
        print(f"{name:48} {1000 * median:9.2f} ms  {median / plain:6.3f} of a plain forward")


def random_subject() -> Subject:
    """A Llama that nobody trained, of the size that the embedded one has."""
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    return Subject(LlamaForCausalLM(config), Tokenizer(models.BPE()))


def ways(subject: Subject, tokens: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What is compared."""
    every = [Site("resid_post", layer) for layer in range(subject.layers)]
    middle = [Site("resid_post", subject.layers // 2 - 1)]

    def plain() -> object:
        with torch.no_grad():
            return subject.model(tokens, use_cache=False).logits

    def base() -> object:
        with torch.no_grad():
            return subject.model.get_decoder()(tokens, use_cache=False)

    def hidden_states() -> object:
        with torch.no_grad():
            return subject.model(tokens, use_cache=False, output_hidden_states=True).hidden_states

    return {
        "plain forward": plain,
        "base model, no logits": base,
        "output_hidden_states=True": hidden_states,
        "run: logits, reads every resid_post": lambda: subject.run(tokens, every, logits=True),
        "run: logits, edits every resid_post": lambda: subject.run(
            tokens, edits=dict.fromkeys(every, lambda x: x), logits=True
        ),
        "run: reads every resid_post": lambda: subject.run(tokens, every),
        "run: reads the middle layer's resid_post": lambda: subject.run(tokens, middle),
    }


def medians(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each, all run once in every round, after two rounds that do not count."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 2):
        for name, run in work.items():
            begun = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times[2:]) for name, times in taken.items()}


if __name__ == "__main__":
    main()
