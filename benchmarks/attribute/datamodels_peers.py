"""What dattri 0.3's methods give each training example for each test point; needs dattri, torch and
transformers, in an environment of their own, which `datamodels --peers PYTHON` runs.

    python datamodels_peers.py ASKED SAID

A score is how far training on the example raises the value.
"""

import json
import sys
import time
from pathlib import Path

import torch
from dattri.algorithm.tracin import TracInAttributor
from dattri.algorithm.trak import TRAKAttributor
from dattri.task import AttributionTask
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModelForCausalLM


def main() -> None:
    asked_path, said_path = map(Path, sys.argv[1:])
    asked = json.loads(asked_path.read_text())
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(
        asked["model"], attn_implementation="eager", dtype=torch.float32
    ).eval()
    start = {name: each.clone() for name, each in model.state_dict().items()}
    trained = torch.load(asked_path.with_name("trained.pt"))
    width = max(len(tokens) for tokens, _ in asked["texts"])
    train = [padded(tokens, begin, width) for tokens, begin in asked["texts"]]
    rows, wanted = (torch.stack(each) for each in zip(*train, strict=True))
    width = max(map(len, asked["prompts"]))
    prompts = torch.stack([padded(tokens, 0, width)[0] for tokens in asked["prompts"]])
    last = torch.tensor([len(tokens) - 1 for tokens in asked["prompts"]])
    pair = torch.tensor([asked["answers"], asked["others"]]).T
    examples = DataLoader(TensorDataset(rows, wanted), batch_size=64)
    points = DataLoader(TensorDataset(prompts, last, pair), batch_size=64)

    def logits(params: dict, row: torch.Tensor) -> torch.Tensor:
        width = len(row)
        unseen = torch.full((width, width), torch.finfo(torch.float32).min).triu(1)
        places = torch.arange(width)[None]
        given = {"input_ids": row[None], "attention_mask": unseen[None, None]}
        given |= {"position_ids": places, "use_cache": False}
        return torch.func.functional_call(model, params, (), given).logits[0]

    def loss(params: dict, example: tuple) -> torch.Tensor:
        row, wanted = example
        said = logits(params, row)[:-1].log_softmax(1)
        counted = wanted[1:] >= 0
        chosen = said.gather(1, wanted[1:].clamp_min(0)[:, None])[:, 0]
        return -(chosen * counted).sum() / counted.sum()

    def value(params: dict, point: tuple) -> torch.Tensor:
        row, last, pair = point
        # by a product, for no index may be a number inside vmap
        here = (torch.arange(len(row)) == last).float() @ logits(params, row)
        return here.gather(0, pair[:1])[0] - here.gather(0, pair[1:])[0]

    def minus(params: dict, point: tuple) -> torch.Tensor:
        return -value(params, point)

    def right(params: dict, example: tuple) -> torch.Tensor:
        return torch.exp(-loss(params, example))

    def margin(params: dict, example: tuple) -> torch.Tensor:
        missed = loss(params, example)
        return -missed - torch.log(-torch.expm1(-missed))

    def task(of: object, checkpoints: list, target: object) -> AttributionTask:
        return AttributionTask(of, model, checkpoints, target_func=target)

    tracin = TracInAttributor(task(loss, [start, trained], minus), torch.ones(2), False)
    trak = TRAKAttributor(
        task(margin, [trained], value), right, {"proj_dim": 512}, regularization=1e-3
    )
    methods = {
        "dattri TracIn": lambda: tracin.attribute(examples, points),
        "dattri TRAK": lambda: trak.attribute(points, examples),
    }
    found = {}
    for name, scores in methods.items():
        begun = time.process_time()
        found[name] = (scores().T.tolist(), time.process_time() - begun)
    said_path.write_text(json.dumps(found))


def padded(tokens: list, begin: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A row, and what is predicted of it: -1 where nothing is."""
    row = torch.tensor([*tokens, *[0] * (width - len(tokens))])
    wanted = torch.full((width,), -1)
    wanted[begin : len(tokens)] = row[begin : len(tokens)]
    return row, wanted


if __name__ == "__main__":
    main()
