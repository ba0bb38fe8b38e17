"""Checkpoints that SAELens and sparsify wrote, with what they make of them, lie in `fixtures`.

See tests/interop.
"""

import json
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gloss.errors import BadInput, BadSettings, Mismatch, Unwritable
from gloss.models.dictionary import Card, SparseCoder, Weights
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold, LargestK, Positive

FIXTURES = Path(__file__).parent / "fixtures"
CHECKPOINTS = sorted(path.parent for path in FIXTURES.rglob("cfg.json"))
NEAR = {"rtol": 1e-5, "atol": 1e-5}


def name_of(folder: Path) -> str:
    return str(folder.relative_to(FIXTURES))


def changed(kind: str, tmp_path: Path, **entries: object) -> Path:
    """A copy of SAELens' fixture with other entries in its cfg.json."""
    folder = tmp_path / kind
    shutil.copytree(FIXTURES / "sae_lens" / kind, folder)
    configuration = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(configuration | entries))
    return folder


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=name_of)
def test_codes_and_reconstructions_are_those_of_the_library(folder: Path) -> None:
    expected, dictionary = load_file(folder / "expected.safetensors"), load_dictionary(folder)
    torch.testing.assert_close(
        dictionary.encode(expected["x"]).dense(dictionary.width), expected["encoded"], **NEAR
    )
    torch.testing.assert_close(
        dictionary.reconstruct(expected["x"]), expected["reconstructed"], **NEAR
    )


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=name_of)
def test_a_dictionary_survives_saving(folder: Path, tmp_path: Path) -> None:
    expected, dictionary = load_file(folder / "expected.safetensors"), load_dictionary(folder)
    save_dictionary(dictionary, tmp_path / "saved", name_of(folder).split("/")[0])
    again = load_dictionary(tmp_path / "saved")
    assert (again.reads, again.writes) == (dictionary.reads, dictionary.writes)
    torch.testing.assert_close(again.reconstruct(expected["x"]), expected["reconstructed"], **NEAR)


def test_sites_come_from_hook_names_and_from_the_folder() -> None:
    autoencoder = load_dictionary(FIXTURES / "sae_lens" / "topk")
    assert (autoencoder.reads, autoencoder.writes) == (Site("resid_post", 1), Site("resid_post", 1))
    transcoder = load_dictionary(FIXTURES / "sae_lens" / "skip_transcoder")
    assert (transcoder.reads, transcoder.writes) == (Site("mlp_in", 1), Site("mlp_out", 1))
    of_module = load_dictionary(FIXTURES / "sparsify" / "transcoder" / "layers.1.mlp")
    assert (of_module.reads, of_module.writes) == (Site("mlp_in", 1), Site("mlp_raw", 1))


def test_the_card_survives_both_formats(tmp_path: Path) -> None:
    card = Card(
        fvu=0.25,
        l0=4.0,
        dead_share=0.01,
        cross_entropy_recovered=0.9,
        tokens=1000,
        corpus="stories",
        model="tiny",
    )
    dictionary = tiny(card=card)
    for format in ("sae_lens", "sparsify"):  # noqa: A001
        save_dictionary(dictionary, tmp_path / format, format)
        assert load_dictionary(tmp_path / format).card == card


def test_halves_on_disk_are_whole_in_memory(tmp_path: Path) -> None:
    save_dictionary(tiny(), tmp_path / "halves", dtype=torch.float16)
    assert (
        load_file(tmp_path / "halves" / "sae_weights.safetensors")["W_dec"].dtype == torch.float16
    )
    assert load_dictionary(tmp_path / "halves").decoder_directions.dtype == torch.float32


def test_a_number_too_large_for_halves_is_refused(tmp_path: Path) -> None:
    huge = SparseCoder(
        SITE,
        SITE,
        Weights(torch.ones(4, 2), torch.zeros(4), torch.full((4, 2), 1e5), torch.zeros(2)),
        Positive(),
    )
    with pytest.raises(Mismatch, match=r"W_dec holds 100000, too large for torch.float16"):
        save_dictionary(huge, tmp_path / "halves", dtype=torch.float16)
    assert not (tmp_path / "halves").exists()


def test_a_flat_configuration_from_before_version_6_is_read(tmp_path: Path) -> None:
    folder = changed("topk", tmp_path)
    flat = {
        "d_in": 6,
        "d_sae": 16,
        "hook_point": "blocks.1.hook_resid_post",
        "activation_fn_str": "topk",
    }
    flat |= {
        "activation_fn_kwargs": {"k": 4},
        "normalize_activations": False,
        "architecture": "standard",
    }
    (folder / "cfg.json").write_text(json.dumps(flat))
    expected, dictionary = load_file(folder / "expected.safetensors"), load_dictionary(folder)
    assert dictionary.selection == LargestK(4)
    torch.testing.assert_close(
        dictionary.reconstruct(expected["x"]), expected["reconstructed"], **NEAR
    )


def test_an_input_scale_is_folded_into_the_weights(tmp_path: Path) -> None:
    plain = load_dictionary(FIXTURES / "sae_lens" / "standard")
    scaled = load_dictionary(
        changed(
            "standard",
            tmp_path,
            normalize_activations="expected_average_only_in",
            norm_scaling_factor=2.0,
        )
    )
    x = load_file(FIXTURES / "sae_lens" / "standard" / "expected.safetensors")["x"]
    torch.testing.assert_close(scaled.encode(x).dense(16), plain.encode(2 * x).dense(16), **NEAR)
    torch.testing.assert_close(scaled.reconstruct(x), plain.reconstruct(2 * x) / 2, **NEAR)


def test_an_unstated_input_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput,
        match=r"neither cfg.json \(norm_scaling_factor\) nor activation_scaler.json says by what",
    ):
        load_dictionary(
            changed("standard", tmp_path, normalize_activations="expected_average_only_in")
        )


def test_an_input_scale_in_the_file_beside_is_folded_into_the_weights(tmp_path: Path) -> None:
    stated = load_dictionary(
        changed(
            "standard",
            tmp_path / "stated",
            normalize_activations="expected_average_only_in",
            norm_scaling_factor=0.4,
        )
    )
    folder = changed(
        "standard", tmp_path / "beside", normalize_activations="expected_average_only_in"
    )
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.4}')
    beside = load_dictionary(folder)
    assert torch.equal(beside.weights.encoder, stated.weights.encoder)
    assert torch.equal(beside.weights.bias, stated.weights.bias)


def test_a_dictionary_of_centred_residuals_reads_plain_ones(tmp_path: Path) -> None:
    plain = load_dictionary(FIXTURES / "sae_lens" / "standard")
    metadata = {
        "hook_name": "blocks.1.hook_resid_post",
        "model_from_pretrained_kwargs": {"center_writing_weights": True},
    }
    centred = load_dictionary(changed("standard", tmp_path, metadata=metadata))
    x = load_file(FIXTURES / "sae_lens" / "standard" / "expected.safetensors")["x"] + 5
    mean = x.mean(dim=1, keepdim=True)
    torch.testing.assert_close(
        centred.encode(x).dense(16), plain.encode(x - mean).dense(16), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        centred.reconstruct(x), plain.reconstruct(x - mean) + mean, atol=1e-4, rtol=1e-4
    )


def test_a_k_that_was_written_with_a_decimal_point_is_read(tmp_path: Path) -> None:
    plain = load_dictionary(FIXTURES / "sae_lens" / "topk")
    assert (
        load_dictionary(changed("topk", tmp_path, k=float(plain.selection.k))).selection
        == plain.selection
    )


def test_thresholds_that_training_keeps_as_logarithms_are_read(tmp_path: Path) -> None:
    plain = load_dictionary(FIXTURES / "sae_lens" / "jumprelu")
    folder = changed("jumprelu", tmp_path)
    tensors = load_file(folder / "sae_weights.safetensors")
    tensors["log_threshold"] = tensors.pop("threshold").log()
    save_file(tensors, folder / "sae_weights.safetensors")
    torch.testing.assert_close(
        load_dictionary(folder).selection.thresholds, plain.selection.thresholds
    )


def test_tensors_that_nothing_reads_are_refused(tmp_path: Path) -> None:
    folder = changed("standard", tmp_path)
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file(tensors | {"r_mag": tensors["b_enc"].clone()}, folder / "sae_weights.safetensors")
    with pytest.raises(BadInput, match=r"has tensors that its settings have no use for \(r_mag\)"):
        load_dictionary(folder)


@pytest.mark.parametrize(
    "entries,message",
    [
        ({"activation_fn_str": "gelu"}, "states the activation 'gelu'"),
        ({"hook_head_index": 3}, "states hook_head_index = 3"),
        ({"d_in": "x"}, "states d_in = x; wanted a whole number from 1"),
        ({"metadata": 5}, "states metadata = 5; wanted an object"),
        ({"architecture": "topk", "k": 5000}, "states k = 5000 of 16 features"),
        ({"architecture": "topk", "k": True}, "states k = True; wanted a whole number"),
        ({"architecture": "gated"}, "has no tensor b_gate, only W_dec, W_enc, b_dec, b_enc"),
        ({"architecture": "unheard"}, "SAELens' kind 'unheard'"),
        (
            {"normalize_activations": "covariance_whitening"},
            r"whitens its inputs \(covariance_whitening\), which can be read of autoencoders with",
        ),
        ({"d_sae": 17}, r"W_dec has the shape \(16, 6\) and the settings ask for \(17, 6\)"),
        ({"metadata": {}}, "does not say where its dictionary belongs; give the site"),
    ],
)
def test_what_cannot_be_read_is_said(entries: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        load_dictionary(changed("standard", tmp_path, **entries))


def test_a_given_site_must_be_the_stated_one() -> None:
    with pytest.raises(
        Mismatch, match=r"belongs to resid_post\.1 .*, and resid_post\.2 was asked for"
    ):
        load_dictionary(FIXTURES / "sae_lens" / "topk", Site("resid_post", 2))


def test_a_given_site_serves_where_none_is_stated(tmp_path: Path) -> None:
    assert load_dictionary(
        changed("topk", tmp_path, metadata={}), Site("mlp_out", 3)
    ).reads == Site("mlp_out", 3)


def test_a_sparsify_folder_of_another_name_wants_a_site(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "sparsify" / "topk" / "layers.1.mlp", tmp_path / "downloaded")
    with pytest.raises(BadInput, match="'downloaded' is not named after a module"):
        load_dictionary(tmp_path / "downloaded")
    assert load_dictionary(tmp_path / "downloaded", Site("mlp_raw", 1)).reads == Site("mlp_raw", 1)


def test_a_missing_or_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no folder or file here; give the dictionary's, or its"):
        load_dictionary(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"holds nothing, which is no dictionary in the format of"):
        load_dictionary(tmp_path)


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    folder = changed("topk", tmp_path)
    (folder / "sae_weights.safetensors").write_bytes(b"cut off")
    with pytest.raises(BadInput, match="is not a whole safetensors file"):
        load_dictionary(folder)
    (folder / "cfg.json").write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        load_dictionary(folder)


def test_a_missing_tensor_is_said(tmp_path: Path) -> None:
    folder = changed("topk", tmp_path)
    save_file({"W_enc": torch.ones(6, 16)}, folder / "sae_weights.safetensors")
    with pytest.raises(BadInput, match="has no tensor W_dec, only W_enc"):
        load_dictionary(folder)


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="sparsify holds TopK and GroupMax, not AboveThreshold"):
        save_dictionary(tiny(AboveThreshold(torch.ones(8))), tmp_path, "sparsify")
    transcoder = load_dictionary(FIXTURES / "sparsify" / "transcoder" / "layers.1.mlp")
    with pytest.raises(
        BadSettings,
        match=r"no architecture for a dictionary from mlp_in\.1 to mlp_raw\.1 with LargestK",
    ):
        save_dictionary(transcoder, tmp_path, "sae_lens")
    with pytest.raises(BadSettings, match="there is no format 'pickle'"):
        save_dictionary(tiny(), tmp_path, "pickle")


def test_a_kept_bias_is_folded_for_sparsify(tmp_path: Path) -> None:
    dictionary = tiny(subtracts_bias=False)
    save_dictionary(dictionary, tmp_path / "layers.0", "sparsify")
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        load_dictionary(tmp_path / "layers.0").reconstruct(x), dictionary.reconstruct(x), **NEAR
    )


SITE = Site("resid_post", 0)


def tiny(selection: object = None, **settings: object) -> SparseCoder:
    """Eight features of four numbers."""
    generator = torch.Generator().manual_seed(2)
    shapes = ((8, 4), (8,), (8, 4), (4,))
    weights = Weights(*(torch.randn(shape, generator=generator) for shape in shapes))
    return SparseCoder(SITE, SITE, weights, selection or LargestK(3), **settings)


@pytest.mark.parametrize("name", ["sae_lens", "sparsify"])
def test_a_place_that_cannot_be_written_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match=r"cannot write .*; give a folder that can be written"):
        save_dictionary(
            load_dictionary(FIXTURES / "sae_lens" / "topk"), tmp_path / "file" / "dictionary", name
        )


def test_a_full_disk_leaves_no_half_a_dictionary(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(Unwritable, match=r"cannot write .*has room"):
            save_dictionary(load_dictionary(FIXTURES / "sae_lens" / "topk"), tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "full").iterdir()) == []
