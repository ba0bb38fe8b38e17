"""Against dictionary_learning and circuit-tracer themselves, where they can be imported; their
requirements do not fit into one environment with the others.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

from gloss.models.formats import load_dictionary, save_dictionary

sys.path.insert(0, str(Path(__file__).parents[1] / "models" / "formats"))
from layouts import LAYOUTS, Drawn

D, WIDTH = 6, 16
NEAR = {"rtol": 1e-5, "atol": 1e-5}


def dictionary_learning_classes() -> dict[str, torch.nn.Module]:
    """Each class with what it is made with."""
    pytest.importorskip(
        "dictionary_learning", reason="pip install --no-deps dictionary-learning nnsight==0.3.7"
    )
    from dictionary_learning import dictionary as plain
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    return {
        "AutoEncoder": plain.AutoEncoder(D, WIDTH),
        "AutoEncoderNew": plain.AutoEncoderNew(D, WIDTH),
        "GatedAutoEncoder": plain.GatedAutoEncoder(D, WIDTH),
        "JumpReluAutoEncoder": plain.JumpReluAutoEncoder(D, WIDTH),
        "AutoEncoderTopK": top_k.AutoEncoderTopK(D, WIDTH, 4),
        "BatchTopKSAE": batch_top_k.BatchTopKSAE(D, WIDTH, 4),
        "MatryoshkaBatchTopKSAE": matryoshka_batch_top_k.MatryoshkaBatchTopKSAE(
            D, WIDTH, 4, [4, 12]
        ),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_what_dictionary_learning_writes_is_read_here(seed: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, coder in dictionary_learning_classes().items():
        with torch.no_grad():  # biases begin at 0, where faults do not show
            for parameter in coder.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            coder.threshold.fill_(0.7)
        folder = tmp_path / name
        folder.mkdir()
        torch.save(coder.state_dict(), folder / "ae.pt")
        trainer = {"dict_class": name, "activation_dim": D, "dict_size": WIDTH, "k": 4, "layer": 1}
        (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
        x = 2 * torch.randn(40, D, generator=torch.Generator().manual_seed(9)) + 0.5
        dictionary = load_dictionary(folder)
        with torch.no_grad():
            codes = coder.encode(x)
            made = coder.decode(codes)
        torch.testing.assert_close(dictionary.encode(x).dense(WIDTH), codes, **NEAR)
        torch.testing.assert_close(dictionary.reconstruct(x), made, **NEAR)


@pytest.mark.parametrize("kind", ["ReLU", "JumpReLU", "skip"])
def test_what_is_written_for_circuit_tracer_is_read_by_it(kind: str, tmp_path: Path) -> None:
    library = pytest.importorskip(
        "circuit_tracer.transcoder.single_layer_transcoder",
        reason="pip install --no-deps circuit-tracer",
    )
    layout = LAYOUTS["circuit_tracer", f"transcoder, {kind}"](tmp_path, Drawn(3))
    save_dictionary(load_dictionary(layout.place), tmp_path / "saved", "circuit_tracer")
    load = getattr(library, "load_transcoder", None) or library.load_relu_transcoder
    file = tmp_path / "saved" / "layer_1.safetensors"
    coder = load(str(file), 1, device=torch.device("cpu"), lazy_encoder=False, lazy_decoder=False)
    with torch.no_grad():
        codes = coder.encode(layout.x)
        made = coder.decode(codes, layout.x)
    torch.testing.assert_close(codes, layout.codes, **NEAR)
    torch.testing.assert_close(made, layout.reconstruction, **NEAR)
    coder.to_safetensors(str(file))
    torch.testing.assert_close(load_dictionary(file).reconstruct(layout.x), made, **NEAR)
