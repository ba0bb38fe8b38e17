"""Against SAELens and sparsify themselves: theirs is read, and they read what is written."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("sae_lens", reason="sae-lens is not installed; pip install 'gloss-lm[interop]'")
pytest.importorskip(
    "sparsify", reason="eai-sparsify is not installed; pip install 'gloss-lm[interop]'"
)

from foreign import (
    READ_ALONE,
    SAE_LENS_KINDS,
    SPARSIFY_KINDS,
    expectations,
    trained_batch_topk,
)
from sae_lens import SAE
from sparsify import SparseCoder as Sparsify

from gloss.models.formats import load_dictionary, save_dictionary

KINDS = [("sae_lens", kind) for kind in SAE_LENS_KINDS] + [
    ("sparsify", kind) for kind in SPARSIFY_KINDS
]
NEAR = {"rtol": 1e-5, "atol": 1e-5}


def foreign_checkpoint(
    library: str, kind: str, seed: int, tmp_path: Path
) -> tuple[Path, dict[str, torch.Tensor]]:
    """A folder that the library wrote, and what it expects of it."""
    coder = (SAE_LENS_KINDS if library == "sae_lens" else SPARSIFY_KINDS)[kind](
        torch.Generator().manual_seed(seed)
    )
    folder = tmp_path / "layers.1.mlp"
    if library == "sae_lens":
        coder.save_model(folder)
    else:
        coder.save_to_disk(folder)
    return folder, expectations(coder)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("library,kind", KINDS)
def test_what_they_write_is_read_here(library: str, kind: str, seed: int, tmp_path: Path) -> None:
    folder, expected = foreign_checkpoint(library, kind, seed, tmp_path)
    dictionary = load_dictionary(folder)
    codes = dictionary.encode(expected["x"])
    torch.testing.assert_close(codes.dense(dictionary.width), expected["encoded"], **NEAR)
    torch.testing.assert_close(
        dictionary.reconstruct(expected["x"]), expected["reconstructed"], **NEAR
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("library,kind", KINDS)
def test_what_is_written_here_they_read(library: str, kind: str, seed: int, tmp_path: Path) -> None:
    folder, expected = foreign_checkpoint(library, kind, seed, tmp_path)
    ours = tmp_path / "ours" / "layers.1.mlp"
    save_dictionary(load_dictionary(folder), ours, library)
    theirs = expectations(
        SAE.load_from_disk(ours) if library == "sae_lens" else Sparsify.load_from_disk(ours)
    )
    torch.testing.assert_close(theirs["encoded"], expected["encoded"], **NEAR)
    torch.testing.assert_close(theirs["reconstructed"], expected["reconstructed"], **NEAR)


def test_halves_on_disk_are_read_by_sae_lens_as_whole_numbers(tmp_path: Path) -> None:
    folder, expected = foreign_checkpoint("sae_lens", "topk", 0, tmp_path)
    save_dictionary(load_dictionary(folder), tmp_path / "halves", "sae_lens", dtype=torch.float16)
    theirs = SAE.load_from_disk(tmp_path / "halves")
    assert theirs.W_dec.dtype == torch.float32
    torch.testing.assert_close(
        expectations(theirs)["reconstructed"], expected["reconstructed"], rtol=0.02, atol=0.02
    )


def test_a_topk_dictionary_goes_from_sparsify_to_sae_lens(tmp_path: Path) -> None:
    folder, expected = foreign_checkpoint("sparsify", "topk", 0, tmp_path)
    save_dictionary(load_dictionary(folder), tmp_path / "there", "sae_lens")
    torch.testing.assert_close(
        expectations(SAE.load_from_disk(tmp_path / "there"))["reconstructed"],
        expected["reconstructed"],
        **NEAR,
    )


@pytest.mark.parametrize("kind", READ_ALONE)
def test_kinds_that_are_read_alone_encode_as_sae_lens_does(kind: str, tmp_path: Path) -> None:
    coder = READ_ALONE[kind](torch.Generator().manual_seed(0))
    with torch.no_grad():  # matching pursuit wants unit vectors
        coder.W_dec /= coder.W_dec.norm(dim=1, keepdim=True) if "pursuit" in kind else 1
    coder.save_model(tmp_path)
    expected, dictionary = expectations(coder), load_dictionary(tmp_path)
    codes = dictionary.encode(expected["x"]).dense(dictionary.width)
    if "abs" in kind:  # two features for the two signs of one
        codes = codes[:, ::2] - codes[:, 1::2]
    torch.testing.assert_close(codes, expected["encoded"], **NEAR)
    torch.testing.assert_close(
        dictionary.reconstruct(expected["x"]), expected["reconstructed"], **NEAR
    )


def test_a_batch_topk_checkpoint_of_training_encodes_as_the_dictionary_made_of_it(
    tmp_path: Path,
) -> None:
    coder = trained_batch_topk(torch.Generator().manual_seed(0))
    coder.save_model(tmp_path / "training")
    coder.save_inference_model(tmp_path / "inference")
    expected = expectations(SAE.load_from_disk(tmp_path / "inference"))
    for folder in ("training", "inference"):
        dictionary = load_dictionary(tmp_path / folder)
        codes = dictionary.encode(expected["x"]).dense(dictionary.width)
        torch.testing.assert_close(codes, expected["encoded"], **NEAR)
