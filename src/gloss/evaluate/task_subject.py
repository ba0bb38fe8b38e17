"""A small transformer that knows two tasks and nothing else: who gets what, and which verb agrees.

It is trained in seconds when it is wanted, so that a dictionary's control can be measured where a
machine holds no other model. The same seed and number of threads give the same weights.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gloss.evaluate.tasks import TASKS, TaskPrompt
from gloss.models.subject import Subject

START = "<start>"
WIDTH, LAYERS, HEADS = 64, 3, 4
STEPS, ROWS, LEARNING_RATE = 250, 64, 4e-3
VOCABULARY_DRAWN = 4000  # prompts of each task, which hold every word that there is


def train_task_subject(seed: int = 0, steps: int = STEPS) -> Subject:
    """The subject that this seed gives: it answers both tasks all but always.

    >>> train_task_subject(steps=1).layers
    3
    """
    tokenizer = word_tokenizer()
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    batches = training_rows(tokenizer, np.random.default_rng([seed, 1]))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 40, (steps - step) / (steps / 2))
        loss = sum(answer_loss(model, *next(batches)) for _ in TASKS)
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return Subject(model.requires_grad_(requires_grad=False), tokenizer, start_token=0)


def write_task_subject(folder: Path, seed: int = 0) -> None:
    """Write the subject as a folder that every command takes for a model, and beside it
    `prompts.jsonl`, a text of its tasks a line, to train dictionaries on.
    """
    subject = train_task_subject(seed)
    subject.model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=word_tokenizer(), bos_token=START).save_pretrained(
        folder
    )
    rng = np.random.default_rng([seed, 2])
    texts = [
        told(prompt) for task in TASKS.values() for prompt in task(VOCABULARY_DRAWN, rng).prompts
    ]
    lines = (json.dumps({"text": text}) + "\n" for text in rng.permutation(texts).tolist())
    (folder / "prompts.jsonl").write_text("".join(lines), "utf-8")


def told(prompt: TaskPrompt) -> str:
    """The prompt with its answer."""
    return prompt.text + prompt.answer


def word_tokenizer() -> Tokenizer:
    """Whole words, each with the space before it, as most tokenizers hold these."""
    rng = np.random.default_rng(0)
    splitter = pre_tokenizers.Split(" ", "merged_with_next")
    words = {
        word
        for task in TASKS.values()
        for prompt in task(VOCABULARY_DRAWN, rng).prompts
        for word, _ in splitter.pre_tokenize_str(told(prompt))
    }
    names = {name: token for token, name in enumerate([START, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token=START))
    tokenizer.pre_tokenizer = splitter
    return tokenizer


def training_rows(
    tokenizer: Tokenizer, rng: np.random.Generator
) -> Iterator[tuple[Int64[Tensor, "row position"], Int64[Tensor, " row"]]]:
    """Prompts of each task in turn, behind the start token, and their answers."""
    while True:
        for task in TASKS.values():
            prompts = task(ROWS, rng).prompts
            rows = [[0, *tokenizer.encode(told(prompt)).ids] for prompt in prompts]
            tokens = torch.tensor(rows)
            yield tokens[:, :-1], tokens[:, -1]


def answer_loss(
    model: LlamaForCausalLM, tokens: Int64[Tensor, "row position"], answers: Int64[Tensor, " row"]
) -> Tensor:
    """The cross-entropy of the answers."""
    logits = model(input_ids=tokens, logits_to_keep=1).logits[:, -1]
    return torch.nn.functional.cross_entropy(logits, answers)
