"""A model that lies partly on the disk is read, edited and told by its content as one that does
not. No machine with several cards was at hand: what is tested is this machine's memory and disk.
"""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.errors import BadSettings
from gloss.models.content_hash import content_hash
from gloss.models.neurons import neurons_at
from gloss.models.structure.placement import DeviceMap, compute_device, resting_weight
from gloss.models.subject import Subject
from gloss.run.dependencies import subject_content
from gloss.run.experiment import SubjectSettings

pytest.importorskip(
    "accelerate", reason="accelerate is not installed; pip install 'gloss-lm[real]'"
)

PARTS = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "lm_head")
MAPS = {
    "a layer": {"model.layers.1": "disk"},
    "all but a layer": dict.fromkeys(PARTS, "disk") | {"model.layers.0": "cpu"},
    "parts of a layer": {
        "model.layers.1": None,
        "model.layers.1.self_attn": "cpu",
        "model.layers.1.mlp": "disk",
        "model.layers.1.input_layernorm": "disk",
        "model.layers.1.post_attention_layernorm": "cpu",
    },
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers, in a folder."""
    folder = tmp_path_factory.mktemp("spread")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    letters = {chr(32 + number): number for number in range(95)} | {"<unk>": 95}
    tokenizer = Tokenizer(models.WordLevel(letters, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def whole(stored: Path) -> Subject:
    return Subject.load(stored, device="cpu", start_token=0)


@pytest.fixture(scope="module", params=list(MAPS))
def spread(stored: Path, request: pytest.FixtureRequest) -> Subject:
    given = dict.fromkeys(PARTS, "cpu") | {"model.rotary_emb": "cpu"} | MAPS[request.param]
    places = {part: place for part, place in given.items() if place is not None}
    found = Subject.load(stored, device=DeviceMap(places), start_token=0)
    assert any(parameter.is_meta for parameter in found.model.parameters())
    return found


TOKENS = torch.tensor([[0, *range(10, 19)], [0, *range(30, 39)]])


def test_what_is_read_at_every_site_is_the_same(whole: Subject, spread: Subject) -> None:
    assert spread.anatomy.layout == whole.anatomy.layout
    sites = [
        whole.site(f"{kind}.{layer}")
        for kind in ("resid_pre", "attn_out", "resid_mid", "mlp_act", "mlp_out", "resid_post", "z")
        for layer in range(2)
    ]
    one, other = (each.run(TOKENS, read=sites, logits=True) for each in (whole, spread))
    for site in sites:
        assert torch.equal(one[site], other[site]), site
        assert spread.device_at(site) == other[site].device
    assert one.logits is not None
    assert other.logits is not None
    assert torch.equal(one.logits, other.logits)


@pytest.mark.parametrize("name", ["resid_mid.1", "mlp_out.0", "resid_post.1"])
def test_edits_have_the_same_effect(whole: Subject, spread: Subject, name: str) -> None:
    edits = {whole.site(name): torch.zeros_like}
    one, other, none = (
        each.run(TOKENS, edits=edit, logits=True).logits
        for each, edit in ((whole, edits), (spread, edits), (spread, {}))
    )
    assert torch.equal(one, other)
    assert not torch.equal(other, none)
    assert spread.generate(TOKENS, max_new_tokens=3).tolist() == (
        whole.generate(TOKENS, max_new_tokens=3).tolist()
    )


def test_weights_are_fetched_from_where_they_rest(whole: Subject, spread: Subject) -> None:
    assert content_hash(spread.model) == content_hash(whole.model)
    assert torch.equal(spread.unembedding, whole.unembedding)
    neurons = [neurons_at(each, each.site("mlp_act.1"), keep=4) for each in (whole, spread)]
    assert content_hash(neurons[0]) == content_hash(neurons[1])
    head = spread.model.get_output_embeddings()
    assert not resting_weight(head).is_meta
    assert compute_device(head, torch.device("meta")) == torch.device("cpu")
    assert spread.device == torch.device("cpu")


def test_what_is_no_place_is_refused_and_no_map_changes_no_key(stored: Path) -> None:
    for given, said in (
        ("card", "device_map is 'card'; give auto"),
        ({"lm_head": "cuda"}, "gives 'cuda' as a place"),
    ):
        with pytest.raises(BadSettings, match=said):
            SubjectSettings.checks["device_map"](given)
    with pytest.raises(ValueError, match="leave one out"):
        SubjectSettings(device="cpu", device_map="auto")
    with pytest.raises(BadSettings, match="an adapter is not merged into a model that"):
        Subject.load(stored, device=DeviceMap("auto"), adapter=stored)
    one, other = SubjectSettings(str(stored)), SubjectSettings(str(stored), device_map="auto")
    assert subject_content(one) != subject_content(other)
    assert hash(SubjectSettings(device_map={"lm_head": "cpu"})) != hash(one)
