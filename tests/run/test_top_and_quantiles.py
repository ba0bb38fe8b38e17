"""Explained from the top and tested on everything: graded features of a real subject, by a file.

The subject's first layer adds nothing to its embedding, which is the identity over bytes, and each
feature of its dictionary fires at seven letters: strongly at one of them, weakly at the others.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from small import ran
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

import gloss
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import save_dictionary
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK
from gloss.statistics.intervals import bootstrap

FEATURES, WEAK, SHOWN = 24, 6, 40
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS, APART = "0123456789", 8  # one letter in so many tokens, digits between

CROSSED = """
[run]
folder = "out"
features = 0
processes = 1

[subject]
model = "subject"

[collect]
texts = ["texts"]
context_length = 64
max_tokens = 0
massive = 0.0

[decompose]
dictionary = "dictionary"
name = "graded"

[contexts]
context_length = 8
train = {shown}
held_out = 100
inactive_train = 200

[[sample]]
method = "quantiles"

[[sample]]
method = "top"

[[explain]]
method = "rule"
name = "of-quantiles"
sample = "quantiles"

[[explain]]
method = "rule"
name = "of-top"
sample = "top"

[[score]]
method = "execution"
controls = 6

[collisions]
by = "none"
"""


def write_subject(folder: Path, size: int) -> dict[str, int]:
    """A Llama whose layer is silent over an embedding that is the identity; gives its tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<start>": 0} | {one: number + 1 for number, one in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(["<start>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=size,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    layer = model.model.layers[0]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(len(vocabulary), size))
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.o_proj.weight.zero_()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return vocabulary


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> gloss.Run:
    """The experiment above, as a user types it."""
    folder, rng, size = tmp_path_factory.mktemp("graded"), np.random.default_rng(0), 264
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vocabulary = write_subject(folder / "subject", size)
    encoder = torch.zeros(FEATURES, size)
    for feature in encoder:
        strong, *weak = rng.choice(list(LETTERS), WEAK + 1, replace=False)
        feature[vocabulary[str(strong)]] = 10.0
        for place, letter in enumerate(weak):
            feature[vocabulary[str(letter)]] = 1 + place / WEAK
    decoder = encoder / encoder.norm(dim=1, keepdim=True)
    weights = Weights(encoder, torch.zeros(FEATURES), decoder, torch.zeros(size))
    site = Site("resid_post", 0)
    save_dictionary(SparseCoder(site, site, weights, LargestK(FEATURES)), folder / "dictionary")
    (folder / "texts").mkdir()
    for number in range(800):
        said = "".join(
            "".join([rng.choice(list(LETTERS)), *rng.choice(list(DIGITS), APART - 1)])
            for _ in range(7)
        )
        (folder / "texts" / f"{number}.txt").write_text(said)
    (folder / "e.toml").write_text(CROSSED.format(shown=SHOWN))
    code, _, err = ran(folder, "run", "e.toml")
    assert code == 0, err
    assert "controls instead of" in " ".join(err.split()), err
    return gloss.open(folder / "out")


def f1(run: gloss.Run, explainer: str) -> dict[int, float]:
    """Of each feature, on all held-out tokens."""
    return {
        row["feature"]: row["value"]
        for row in run.table("scores").to_pylist()
        if row["explained_by"] == explainer and row["control"] == "none"
    }


def test_who_was_shown_the_top_explains_the_top_and_is_tested_on_all(run):
    """Without an explanation F1 is 0."""
    top, quantiles = (f1(run, name) for name in ("of-top", "of-quantiles"))
    gains = np.array([quantiles.get(n, 0.0) - top.get(n, 0.0) for n in range(FEATURES)])
    gain = bootstrap(lambda x: x.mean(axis=-1), gains, rng=np.random.default_rng(0))
    assert gain.low > 0.5


def test_both_are_tested_on_the_same_contexts_of_every_strength(run):
    feature = run[next(iter(f1(run, "of-top")))]
    shown, tops = feature.examples, feature.examples_of("top")
    assert len(shown.train) == len(tops.train) == SHOWN
    assert tops.train.maxima.min() > shown.train.maxima.min()
    assert shown.held_out.starts.tolist() == tops.held_out.starts.tolist()
    assert shown.inactive_train.starts.tolist() == tops.inactive_train.starts.tolist()
    assert set(shown.held_out.quantiles.tolist()) == set(range(10))


def test_controls_are_of_the_same_features_for_every_explainer_and_no_others(run):
    rows = [row for row in run.table("scores").to_pylist() if row["control"] != "none"]
    of = {
        name: {row["feature"] for row in rows if row["explained_by"] == name}
        for name in ("of-top", "of-quantiles")
    }
    assert len(of["of-top"]) == len(of["of-quantiles"]) == 6
    if set(f1(run, "of-top")) == set(f1(run, "of-quantiles")):
        assert of["of-top"] == of["of-quantiles"]
