"""Formats of somebody else's package: found, opened, and blamed by name where they fail."""

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gloss.decompose.feature_matching import UnitDirections
from gloss.decompose.random_dictionary import random_dictionary_like
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import encoder_of
from gloss.models.formats import MEMBERS, load_dictionary, save_dictionary
from gloss.models.formats.dictionary_format import installed_formats
from gloss.models.sites import Site
from gloss.run.keys import source_hash
from gloss.store.named_parts import split_part_name

SAELENS = Path(__file__).parent / "fixtures" / "sae_lens" / "topk"
SITE = Site("resid_post", 1)
HEAD = """
from pathlib import Path
import torch
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats.dictionary_format import DictionaryFormat
from gloss.models.sparse_codes import Positive
"""
# Several dictionaries in a folder, flat lists of numbers whose length per feature the model tells.
FLAT = (
    HEAD
    + """
def read(request):
    numbers = torch.tensor([float(x) for x in (request.folder / f"{request.part}.flat")
        .read_text().split()])
    rows = numbers.reshape(-1, request.width_at(request.site))
    weights = Weights(rows, torch.zeros(len(rows)), rows, torch.zeros(rows.shape[1]))
    return SparseCoder(request.site, request.site, weights, Positive())

FLAT = DictionaryFormat("Flat", "files that end in .flat", lambda f: any(f.glob("*.flat")), read,
    parts=lambda f: sorted(path.stem for path in f.glob("*.flat")))
"""
)

Install = Callable[..., None]


@pytest.fixture
def install_format(install: Install) -> Generator[Install]:
    """Installs a module that offers formats: their names, and what they are called inside it."""

    def put(module: str, text: str, **formats: str) -> None:
        points = {name: f"{module}:{inside}" for name, inside in formats.items()}
        install(module, text, "gloss.format", **points)
        installed_formats.cache_clear()

    yield put
    installed_formats.cache_clear()


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "early.flat").write_text("1 0 0 0 1 0")
    (folder / "late.flat").write_text("0 0 1")
    return folder


def subject(width: int) -> SimpleNamespace:
    return SimpleNamespace(layers=2, width_at=lambda site: width)


def test_a_format_may_hold_several_dictionaries_and_take_the_width_from_the_model(
    install_format, flat
):
    install_format("flatfiles", FLAT, flat="FLAT")
    early = load_dictionary(f"{flat}#early", SITE, subject(3))
    assert early.decoder_directions.tolist() == [[1, 0, 0], [0, 1, 0]]
    late = load_dictionary(f"{flat}#late", SITE, subject(3))
    assert late.encode(torch.tensor([[5.0, 6.0, 7.0]])).dense(1).tolist() == [[7.0]]
    (flat / "early.flat").unlink()
    assert load_dictionary(flat, SITE, subject(1)).width == 3  # the only one needs no name
    with pytest.raises(BadInput, match=r"does not say how long the vectors at resid_post.1 are"):
        load_dictionary(flat, SITE)
    with pytest.raises(BadInput, match=r"no early; name one, as in .*two#late"):
        load_dictionary(f"{flat}#early", SITE, subject(1))


def test_which_of_several_has_to_be_said_and_none_where_there_is_one(install_format, flat):
    install_format("flatfiles", FLAT, flat="FLAT")
    with pytest.raises(BadInput, match=r"holds 2 dictionaries \(early, late\); name one, as in "):
        load_dictionary(flat, SITE, subject(3))
    with pytest.raises(BadInput, match="holds one dictionary; leave #late out"):
        load_dictionary(f"{SAELENS}#late")


def test_one_that_cannot_be_imported_costs_a_sentence_and_no_other_format(install_format, capsys):
    install_format("broken", "import nothing_of_that_name", broken="FORMAT", other="FORMAT")
    install_format("odd", "FORMAT = 3", odd="FORMAT")
    assert load_dictionary(SAELENS).width > 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0] == (
        "note: broken (gloss.format) of the package broken cannot be imported (No module named"
        " 'nothing_of_that_name'); mend broken, or remove the package"
    )
    assert said[1].startswith("note: odd (gloss.format) of the package odd is of type int; make")
    load_dictionary(SAELENS)
    assert capsys.readouterr().err == ""  # once a process


def test_errors_list_what_is_installed(install_format, tmp_path):
    install_format("flatfiles", FLAT, flat="FLAT")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BadInput,
        match=r"holds nothing, which is no dictionary in the format of circuit-tracer, .*, Flat, .*"
        r" SAELens or sparsify; give the folder",
    ):
        load_dictionary(tmp_path / "empty")
    with pytest.raises(BadSettings, match=r"choose circuit_tracer, .*, flat, "):
        save_dictionary(load_dictionary(SAELENS), tmp_path / "saved", "pickle")
    with pytest.raises(BadSettings, match="flat is only read; choose circuit_tr"):
        save_dictionary(load_dictionary(SAELENS), tmp_path / "saved", "flat")


@pytest.mark.parametrize(
    "body, sentence",
    [
        ("raise KeyError('W')", r"read by the format odd of the package odd \(KeyError 'W'\)"),
        (
            "return 3",
            r"the format odd gave something of type int without reads, writes, .* or to; let it",
        ),
        (
            "return Loose()",
            r"gave something of type Loose, by whose content results cannot be told apart; make it",
        ),
    ],
)
def test_a_format_that_fails_is_blamed_by_name(install_format, tmp_path, body, sentence):
    loose = "class Loose:\n" + "".join(f"    {name} = 1\n" for name in MEMBERS)
    text = f"{HEAD}\n{loose}\ndef read(request):\n    {body}\n"
    install_format(
        "odd", text + 'F = DictionaryFormat("Odd", "odd", lambda f: True, read)', odd="F"
    )
    (tmp_path / "any").mkdir()
    with pytest.raises(BadInput, match=sentence):
        load_dictionary(tmp_path / "any")
    with pytest.raises(BadInput, match="is a dictionary in 2 formats, odd and sae_lens; take the"):
        load_dictionary(SAELENS)


def test_nobody_takes_a_name_of_gloss_own(install_format):
    install_format("aaa", HEAD + "FORMAT = DictionaryFormat('', '', None, None)", sae_lens="FORMAT")
    assert installed_formats()["sae_lens"].title == "SAELens"


# A torch module, whose directions are a parameter and whose `encoder` is a layer.
MODULE = (
    HEAD
    + """
from gloss.models.dictionary import Card
from gloss.models.sites import Site

class Linear(torch.nn.Module):
    reads, writes, width, card = Site("mlp_in", 1), Site("mlp_out", 1), 3, Card(l0=2.0)

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(4, 3)
        self.decoder_directions = torch.nn.Parameter(torch.eye(3, 5))

    def encode(self, x): ...
    def decode(self, codes): ...
    def reconstruct(self, x): ...

LINEAR = DictionaryFormat("Linear", "linear.txt", lambda f: (f / "linear.txt").exists(),
    lambda request: Linear())
"""
)


def test_a_torch_module_is_a_dictionary_with_its_parameters(install_format, tmp_path, rng):
    install_format("linears", MODULE, linear="LINEAR")
    (tmp_path / "linear.txt").touch()
    found = load_dictionary(tmp_path)
    assert found.card.l0 == 2.0
    assert encoder_of(found) is None  # a layer says nothing of directions
    both = UnitDirections.of(found)
    assert both.reads.shape == both.writes.shape == (3, 5)
    random = random_dictionary_like(found, torch.randn(50, 4), np.full(3, 0.1), rng)
    assert (str(random.reads), str(random.writes)) == ("mlp_in.1", "mlp_out.1")
    assert random.decoder_directions.shape == (3, 5)


def test_what_is_wrong_in_gloss_own_formats_is_not_blamed_on_a_package(tmp_path, monkeypatch):
    def broken(folder: Path) -> bool:
        raise ZeroDivisionError("of gloss")

    formats = {"sae_lens": replace(installed_formats()["sae_lens"], recognises=broken)}
    monkeypatch.setattr("gloss.models.formats.installed_formats", lambda: formats)
    with pytest.raises(ZeroDivisionError):
        load_dictionary(tmp_path)


def test_a_part_may_be_a_path_and_a_folder_may_have_the_sign_in_its_name(install_format, tmp_path):
    install_format("flatfiles", FLAT, flat="FLAT")
    folder = tmp_path / "run#1" / "two"
    folder.mkdir(parents=True)
    (folder / "late.flat").write_text("0 0 1")
    name = f"{folder}#late"
    assert load_dictionary(name, SITE, subject(3)).width == 1
    assert split_part_name(name) == (str(folder), "late")
    assert split_part_name(f"{folder}#layer_5/width_16k#a") == (str(folder), "layer_5/width_16k#a")
    assert split_part_name(str(folder)) == (str(folder), "")
    before = source_hash(name)
    (folder / "late.flat").write_text("0 1 0")
    assert source_hash(name) != before
    with pytest.raises(BadInput):
        load_dictionary("#late")
