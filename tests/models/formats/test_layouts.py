"""Published dictionaries, each in the layout of its library, encode as that library does."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from layouts import (
    LAYOUTS,
    WIDTH,
    D,
    Drawn,
    Layout,
    matrices,
    sae_lens_at,
    write_json,
    write_tensors,
)
from safetensors.torch import load_file, save_file

from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.formats.dictionary_format import StoredDictionary, installed_formats
from gloss.models.formats.refused import REFUSED
from gloss.models.sites import Site, parse_site
from gloss.models.sparse_codes import Gated, LargestK, PositiveTanh

NEAR = {"rtol": 1e-5, "atol": 1e-5}
ROOT = Path(__file__).parents[3]
KINDS = sorted(LAYOUTS)
WRITTEN = [
    (name, kind)
    for name, format_ in sorted(installed_formats().items())
    for kind in format_.written
]
TITLE = "| format | files | read | written | refused |"


def read(layout: Layout) -> StoredDictionary:
    return load_dictionary(layout.place, parse_site(layout.site) if layout.site else None)


def library_codes(dictionary: StoredDictionary, layout: Layout) -> torch.Tensor:
    codes = dictionary.encode(layout.x).dense(dictionary.width)
    return codes[:, ::2] - codes[:, 1::2] if layout.tails else codes


@pytest.mark.parametrize("name,kind", KINDS, ids=" ".join)
def test_codes_and_reconstructions_are_those_of_the_formula(name, kind, tmp_path):
    layout = LAYOUTS[name, kind](tmp_path, Drawn(7))
    dictionary = read(layout)
    assert (str(dictionary.reads), str(dictionary.writes)) == (layout.reads, layout.writes)
    assert 0 < (layout.codes != 0).float().mean() < 0.9
    torch.testing.assert_close(library_codes(dictionary, layout), layout.codes, **NEAR)
    torch.testing.assert_close(dictionary.reconstruct(layout.x), layout.reconstruction, **NEAR)


def test_every_kind_that_is_said_to_be_read_has_its_layout_here():
    formats = installed_formats()
    assert {(name, kind) for name in formats for kind in formats[name].kinds} == set(LAYOUTS)


@pytest.mark.parametrize("name,kind", WRITTEN, ids=" ".join)
def test_what_is_said_to_be_written_is_read_again(name, kind, tmp_path):
    layout = LAYOUTS[name, kind](tmp_path, Drawn(8))
    save_dictionary(read(layout), tmp_path / "saved" / "layers.1.mlp", name)
    place = tmp_path / "saved" / "layers.1.mlp"
    again = load_dictionary(place)
    assert (str(again.reads), str(again.writes)) == (layout.reads, layout.writes)
    torch.testing.assert_close(again.reconstruct(layout.x), layout.reconstruction, **NEAR)
    torch.testing.assert_close(library_codes(again, layout), layout.codes, **NEAR)


def format_table() -> str:
    """What is read and written, as the formats say."""
    rows = [TITLE, "|---|---|---|---|---|"]
    for format_ in sorted(installed_formats().values(), key=lambda each: each.title.lower()):
        cells = [
            ", ".join(f"`{kind}`" for kind in kinds) or "–"
            for kinds in (format_.kinds, format_.written, format_.refused)
        ]
        rows.append(f"| {' | '.join((format_.title, format_.files, *cells))} |")
    return "\n".join(rows)


def test_the_table_of_the_docs_is_what_the_formats_say():
    page = (ROOT / "docs" / "dictionaries.md").read_text()
    assert format_table() in page, f"docs/dictionaries.md should hold\n\n{format_table()}"


def test_the_docs_name_all_that_is_refused():
    page = " ".join((ROOT / "docs" / "dictionaries.md").read_text().split())
    assert [each.title for each in REFUSED if each.title not in page] == []


def test_a_file_of_several_is_named_by_its_path_or_behind_its_folder(tmp_path):
    layout = LAYOUTS["circuit_tracer", "transcoder, ReLU"](tmp_path, Drawn(1))
    folder = layout.place.parent
    for name in (layout.place, f"{folder}#layer_1", f"{folder}#layer_1.safetensors"):
        assert load_dictionary(name).reads == Site("mlp_in", 1)
    with pytest.raises(BadInput, match=r"holds 2 dictionaries \(layer_0.safetensors, layer_1"):
        load_dictionary(folder)


def test_one_of_the_files_of_a_folder_stands_for_it(tmp_path):
    layout = LAYOUTS["sae_lens", "topk"](tmp_path, Drawn(1))
    assert load_dictionary(layout.place / "sae_weights.safetensors").width == WIDTH
    layout = LAYOUTS["dictionary_learning", "AutoEncoder"](tmp_path, Drawn(1))
    assert load_dictionary(layout.place / "ae.pt").width == WIDTH


def test_a_checkpoint_beside_others_finds_the_settings_above(tmp_path):
    layout = LAYOUTS["dictionary_learning", "AutoEncoderTopK"](tmp_path, Drawn(1))
    for step in (1, 2):
        tensors = torch.load(layout.place / "ae.pt", weights_only=True)
        write_tensors(layout.place / "checkpoints" / f"ae_{step}.pt", tensors)
    assert load_dictionary(f"{layout.place / 'checkpoints'}#ae_2").selection == LargestK(4)


def test_a_site_serves_where_no_name_says_one(tmp_path):
    w = Drawn(3)
    write_tensors(tmp_path / "params.npz", matrices(w, threshold=w.thresholds))
    with pytest.raises(BadInput, match="does not say where its dictionary belongs; give the site"):
        load_dictionary(tmp_path)
    assert load_dictionary(tmp_path, Site("mlp_out", 3)).reads == Site("mlp_out", 3)


class Harmful:
    """Makes a file where it is unpickled as an object."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("old", [False, True], ids=["archive", "pickle"])
def test_a_pickle_is_never_executed(old, tmp_path):
    folder = tmp_path / "trainer_0"
    trainer = {"dict_class": "AutoEncoder", "activation_dim": D, "dict_size": WIDTH, "layer": 1}
    write_json(folder / "config.json", {"trainer": trainer})
    held = {"bias": torch.zeros(D), "encoder.weight": Harmful(tmp_path / "made")}
    torch.save(held, folder / "ae.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(BadInput, match=r"cannot be read as tensors and plain values .*never exec"):
        load_dictionary(folder)
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(held["encoder.weight"]))  # it would have
    assert (tmp_path / "made").exists()


def changed_tensors(file: Path, **changed: torch.Tensor | None) -> None:
    """The file with other tensors, or without those that are None."""
    safe = file.suffix == ".safetensors"
    tensors = load_file(file) if safe else torch.load(file, weights_only=True)
    held = {name: value for name, value in {**tensors, **changed}.items() if value is not None}
    (save_file if safe else torch.save)(held, file)


def changed_settings(file: Path, **changed: object) -> None:
    stated = json.loads(file.read_text())
    inner = stated.get("trainer", stated)
    inner.update(changed)
    file.write_text(json.dumps(stated))


AE, LENS, PARAMS = "ae.pt", "sae_weights.safetensors", "params.safetensors"
ONE = torch.ones(WIDTH)


@pytest.mark.parametrize(
    "name,kind,file,tensors,message",
    [
        ("sae_lens", "topk", LENS, {"threshold": ONE}, "no use for (threshold); this kind"),
        ("sae_lens", "standard", LENS, {"W_skip": torch.ones(D, D)}, "no use for (W_skip)"),
        ("sae_lens", "gated", LENS, {"b_enc": ONE}, "no use for (b_enc)"),
        ("sae_lens", "jumprelu", LENS, {"threshold": ONE[1:]}, "has the shape (15,) and the"),
        ("sae_lens", "topk", LENS, {"b_dec": torch.full((D,), torch.inf)}, "are not finite"),
        ("sae_lens", "standard", LENS, {"scaling_factor": 2 * ONE}, "is not 1, and "),
        ("gemma_scope_2", "transcoder", PARAMS, {"extra": ONE}, "no use for (extra)"),
        ("gemma_scope_2", "z", PARAMS, {"affine_skip_connection": ONE}, "no use for (affine_sk"),
        (
            *("gemma_scope_2", "transcoder", PARAMS),
            *({"w_dec": torch.ones(WIDTH, 2, D)}, "writes to several layers (w_dec has the"),
        ),
        (
            *("dictionary_learning", "BatchTopKSAE", AE, {"threshold": torch.tensor(-1.0)}),
            "the threshold -1, which stands for none",
        ),
        (
            *("dictionary_learning", "BatchTopKSAE", AE, {"k": torch.tensor(5)}),
            "states k = 4, and ae.pt holds 5",
        ),
        (
            *("dictionary_learning", "MatryoshkaBatchTopKSAE", AE),
            *({"group_sizes": torch.tensor([4, 4])}, "group_sizes add up to 8 of 16"),
        ),
        ("dictionary_learning", "AutoEncoder", AE, {"threshold": ONE}, "no use for (threshold)"),
        (
            *("dictionary_learning", "AutoEncoder", AE, {"encoder.weight": torch.ones(8, D)}),
            "encoder.weight is of 8 features of 6 numbers, and the decoder of 16",
        ),
    ],
)
def test_tensors_that_contradict_the_settings_are_refused(
    name, kind, file, tensors, message, tmp_path
):
    layout = LAYOUTS[name, kind](tmp_path, Drawn(2))
    changed_tensors(layout.place / file, **tensors)
    with pytest.raises(BadInput) as problem:
        read(layout)
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    "name,kind,file,settings,message",
    [
        ("sae_lens", "standard", "cfg.json", {"k": 4}, "states k = 4, which gloss has no use for"),
        ("sae_lens", "topk", "cfg.json", {"k": 4.5}, "states k = 4.5; wanted a whole number"),
        ("sae_lens", "topk", "cfg.json", {"new_rule": 3}, "states new_rule = 3, which gloss has"),
        ("sae_lens", "topk", "cfg.json", {"architecture": "temporal"}, "'temporal', which cannot"),
        (
            *("sae_lens", "transcoder", "cfg.json", {"apply_b_dec_to_input": True}),
            "apply_b_dec_to_input = True of a transcoder",
        ),
        ("sae_lens", "gated", "cfg.json", {"activation_fn": "tanh-relu"}, "'tanh-relu' of a dict"),
        ("sparsify", "TopK", "cfg.json", {"k": 17}, "states k = 17 of 16 features"),
        ("sparsify", "TopK", "cfg.json", {"jump": 1}, "states jump = 1, which gloss has no use"),
        (
            *("dictionary_learning", "AutoEncoder", "config.json", {"dict_class": "CrossCoder"}),
            "states the class 'CrossCoder', and AutoEncoder,",
        ),
        (
            *("dictionary_learning", "AutoEncoder", "config.json", {"dict_size": 17}),
            "states dict_size = 17, and ae.pt holds 16",
        ),
        ("llama_scope", "TopK", "hyperparams.json", {"top_k": 17}, "states top_k = 17 of 16"),
        (
            *("llama_scope", "TopK", "hyperparams.json", {"norm_activation": "batch-wise"}),
            "states norm_activation = batch-wise; dataset-wise",
        ),
        (
            *("llama_scope_r1", "JumpReLU", "config.json"),
            *({"dataset_average_activation_norm": None}, "no dataset_average_activation_norm.in"),
        ),
    ],
)
def test_settings_that_mean_something_else_are_refused(
    name, kind, file, settings, message, tmp_path
):
    layout = LAYOUTS[name, kind](tmp_path, Drawn(2))
    changed_settings(layout.place / file, **settings)
    with pytest.raises(BadInput) as problem:
        read(layout)
    assert message in str(problem.value)


def write_empty(folder: Path, *names: str, **tensors: tuple[int, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = folder / name
        shapes = {each: torch.ones(shape) for each, shape in tensors.items()}
        write_tensors(file, shapes) if file.suffix != ".yaml" else file.write_text(
            "model_kind: cross_layer_transcoder\n"
        )


@pytest.mark.parametrize(
    "names,tensors,message",
    [
        (["cc_weights.pt"], {"W_enc": (2, 4, 8)}, "a crosscoder of two models, which cannot be"),
        (["latest_ckpt.safetensors"], {"D": (4, 8)}, "a temporal dictionary, which cannot be read"),
        (["sae_weights.safetensors"], {"W_E": (4, 8), "W_D": (8, 4)}, "a dictionary of Llamasco"),
        (["r1.pt"], {"W": (4, 8), "b_enc": (8,), "b_dec": (4,)}, "a dictionary of Goodfire's for"),
        (["ae.pt"], {"bias": (4,)}, "a dictionary_learning checkpoint without its config.json"),
        (["model.safetensors"], {"encoder.weight": (2, 4, 8)}, "of the science-of-finetuning fork"),
    ],
)
def test_what_cannot_be_encoded_is_refused_by_its_name(names, tensors, message, tmp_path):
    write_empty(tmp_path / "published", *names, **tensors)
    with pytest.raises(BadInput) as problem:
        load_dictionary(tmp_path / "published")
    assert message in str(problem.value)


def test_a_gemma_scope_transcoder_is_refused_for_what_it_reads(tmp_path):
    place = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_1" / "width_16k" / "average_l0_7"
    w = Drawn(1)
    write_tensors(place / "params.npz", matrices(w, threshold=w.thresholds))
    with pytest.raises(BadInput, match="reads the normed residual before the norm's gain"):
        load_dictionary(place)


def test_tanh_squashes_what_relu_leaves(tmp_path):
    w = Drawn(4)
    sae_lens_at(tmp_path, matrices(w), architecture="standard", activation_fn="tanh-relu")
    dictionary = load_dictionary(tmp_path)
    assert isinstance(dictionary.selection, PositiveTanh)
    right = w.pre(subtracts=True).clamp_min(0).tanh()
    torch.testing.assert_close(dictionary.encode(w.x).dense(WIDTH), right, **NEAR)
    with pytest.raises(BadSettings, match="no architecture for"):
        save_dictionary(dictionary, tmp_path / "saved", "sae_lens")


def test_a_fine_tuned_scale_is_worked_into_the_decoder(tmp_path):
    w = Drawn(5)
    sae_lens_at(tmp_path, matrices(w, scaling_factor=w.thresholds), architecture="standard")
    flat = {"d_in": D, "d_sae": WIDTH, "hook_name": "blocks.1.hook_resid_post"}
    write_json(tmp_path / "cfg.json", flat | {"finetuning_scaling_factor": True})
    codes = w.pre(subtracts=True).clamp_min(0)
    dictionary = load_dictionary(tmp_path)
    torch.testing.assert_close(dictionary.encode(w.x).dense(WIDTH), codes, **NEAR)
    torch.testing.assert_close(dictionary.reconstruct(w.x), w.made(codes * w.thresholds), **NEAR)


@pytest.mark.parametrize("subtracts", [True, False])
def test_whitened_inputs_are_worked_into_the_weights(subtracts, tmp_path):
    w = Drawn(5)
    settings = {"normalize_activations": "covariance_whitening", "apply_b_dec_to_input": subtracts}
    sae_lens_at(tmp_path, matrices(w), architecture="standard", **settings)
    matrix, mean = w.skip + 3 * torch.eye(D), w.thresholds[:D].clone()
    back = torch.linalg.inv(matrix)
    white = {"mean": mean, "matrix": matrix, "inverse_matrix": back}
    write_tensors(tmp_path / "activation_whitening.safetensors", white)
    codes = w.pre(subtracts=subtracts, x=(w.x - mean) @ matrix).clamp_min(0)
    dictionary = load_dictionary(tmp_path)
    near = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(dictionary.encode(w.x).dense(WIDTH), codes, **near)
    torch.testing.assert_close(dictionary.reconstruct(w.x), w.made(codes) @ back + mean, **near)


@pytest.mark.parametrize(
    "architecture,hook,centres",
    [
        ("standard", "blocks.1.attn.hook_z", False),
        ("standard", "blocks.1.hook_mlp_out", True),
        ("skip_transcoder", "blocks.1.ln2.hook_in", True),
        ("skip_transcoder", "blocks.1.mlp.hook_in", False),
    ],
)
def test_centring_takes_the_mean_out_of_what_is_written_to_the_stream(
    architecture, hook, centres, tmp_path
):
    w, transcodes = Drawn(9), architecture != "standard"
    metadata = {"hook_name": hook, "hook_name_out": "blocks.1.hook_mlp_out"}
    metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    more = {"d_out": D} if transcodes else {}
    tensors = matrices(w, **({"W_skip": w.skip} if transcodes else {}))
    subtracts = {"apply_b_dec_to_input": not transcodes}
    sae_lens_at(
        tmp_path, tensors, architecture=architecture, metadata=metadata, **subtracts, **more
    )
    mean = w.x.mean(1, keepdim=True) * centres
    codes = w.pre(subtracts=not transcodes, x=w.x - mean).clamp_min(0)
    made = w.made(codes) + ((w.x - mean) @ w.skip.T if transcodes else mean)
    dictionary = load_dictionary(tmp_path)
    near = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(dictionary.encode(w.x).dense(WIDTH), codes, **near)
    torch.testing.assert_close(dictionary.reconstruct(w.x), made, **near)


class Heads:
    """A subject of four heads of D numbers."""

    layers = 2

    def width_at(self, site: Site) -> int:
        return 4 * D


def test_a_dictionary_of_one_head_reads_its_columns_and_lets_the_others_pass(tmp_path):
    w = Drawn(6)
    metadata = {"hook_name": "blocks.1.attn.hook_z", "hook_head_index": 2}
    sae_lens_at(tmp_path, matrices(w), architecture="standard", metadata=metadata)
    with pytest.raises(BadInput, match=r"hook_head_index = 2: it reads one head's columns of z\.1"):
        load_dictionary(tmp_path)
    dictionary = load_dictionary(tmp_path, subject=Heads())
    z = torch.randn(TOKENS := len(w.x), 4 * D, generator=torch.Generator().manual_seed(1))
    z[:, 2 * D : 3 * D] = w.x
    codes = w.pre(subtracts=True).clamp_min(0)
    torch.testing.assert_close(dictionary.encode(z).dense(WIDTH), codes, **NEAR)
    made = dictionary.reconstruct(z)
    torch.testing.assert_close(made[:, 2 * D : 3 * D], w.made(codes), **NEAR)
    torch.testing.assert_close(made[:, : 2 * D], z[:, : 2 * D], **NEAR)
    assert made.shape == (TOKENS, 4 * D)


def test_gates_of_a_wide_dictionary_are_those_of_all_features_at_once(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    shapes = ((64, 4), (64,), (64, 4), (4,))
    weights = Weights(*(torch.randn(shape, generator=generator) for shape in shapes))
    gates = Gated(torch.rand(64, generator=generator), torch.randn(64, generator=generator))
    site = Site("resid_post", 0)
    coder, x = SparseCoder(site, site, weights, gates), torch.randn(9, 4, generator=generator)
    whole = coder.encode(x).dense(64)
    monkeypatch.setattr("gloss.models.dictionary.BLOCK", 16)
    torch.testing.assert_close(coder.encode(x).dense(64), whole)
    squashed = SparseCoder(site, site, weights, PositiveTanh())
    assert squashed.encode(x).dense(64).max() <= 1


def test_a_matching_pursuit_cannot_be_written_but_as_sae_lens(tmp_path):
    layout = LAYOUTS["sae_lens", "matching_pursuit"](tmp_path, Drawn(1))
    pursuit = read(layout)
    with pytest.raises(BadSettings, match="a MatchingPursuit cannot be written as sparsify"):
        save_dictionary(pursuit, tmp_path / "saved", format="sparsify")
    save_dictionary(pursuit, tmp_path / "saved")
    again = load_dictionary(tmp_path / "saved")
    x = torch.randn(9, pursuit.d_in)
    assert torch.equal(again.encode(x).dense(again.width), pursuit.encode(x).dense(again.width))
    assert (again.most, again.enough) == (pursuit.most, pursuit.enough)
    assert again.stops_at_repeat == pursuit.stops_at_repeat


def test_circuit_tracers_folder_holds_transcoders_of_the_same_sites(tmp_path):
    layout = LAYOUTS["circuit_tracer", "transcoder, TopK"](tmp_path, Drawn(1))
    saved = tmp_path / "set"
    for part in ("layer_0", "layer_1"):
        whole = load_dictionary(f"{layout.place.parent}#{part}")
        save_dictionary(whole, saved, "circuit_tracer")
    assert sorted(file.name for file in saved.iterdir()) == [
        *("config.yaml", "layer_0.safetensors", "layer_1.safetensors")
    ]
    other = LAYOUTS["circuit_tracer", "transcoder, ReLU"](tmp_path / "other", Drawn(1))
    with pytest.raises(BadSettings, match="states activation = topk, and this transcoder relu"):
        save_dictionary(read(other), saved, "circuit_tracer")
    plain = read(LAYOUTS["sae_lens", "topk"](tmp_path / "plain", Drawn(1)))
    with pytest.raises(BadSettings, match="holds transcoders from one site of a layer to another"):
        save_dictionary(plain, saved, "circuit_tracer")


def test_a_crosscoder_that_was_compiled_is_the_same(tmp_path):
    layout = LAYOUTS["crosscoders", "CrossCoder"](tmp_path, Drawn(7))
    file = layout.place / "model.safetensors"
    tensors = load_file(file)
    save_file({f"_orig_mod.{name}": each for name, each in tensors.items()}, file)
    torch.testing.assert_close(library_codes(read(layout), layout), layout.codes, **NEAR)


def test_a_cross_layer_transcoder_is_named_by_its_folder_alone(tmp_path):
    kind = next(kind for name, kind in KINDS if name == "circuit_tracer_layers")
    layout = LAYOUTS["circuit_tracer_layers", kind](tmp_path, Drawn(7))
    assert read(layout).width == layout.codes.shape[1]
    with pytest.raises(BadInput, match="is a file, which is no dictionary in the format of"):
        load_dictionary(layout.place / "W_enc_0.safetensors")
