"""Dictionaries by their published names, from a hub that is a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from gloss.errors import BadInput
from gloss.models.formats import load_dictionary
from gloss.models.pretrained.hub_files import HubName, is_hub_name
from gloss.models.pretrained.published import (
    LIST,
    _own_registry,
    compact_registry,
    published_dictionary,
)
from gloss.run.dependencies import dictionary_hash

sys.path.insert(0, str(Path(__file__).parent / "formats"))
from layouts import LAYOUTS, Drawn, matrices, sae_lens_at, write_tensors

HERE = Path(__file__).parent
COMMITS = {"main": "a" * 40, "early": "b" * 40}
# Loads each name in its arguments, and prints what came of it as a line of JSON.
PROGRAM = """
import json, sys, torch
from gloss.errors import GlossError
from gloss.models.formats import load_dictionary
from gloss.models.sites import parse_site
from pathlib import Path
from gloss.run.dependencies import dictionary_hash
for name in sys.argv[1:]:
    if name.startswith("key "):
        print("said", json.dumps(dictionary_hash(Path(name[4:]))), flush=True)
        continue
    name, _, site = name.partition(" ")
    try:
        d = load_dictionary(name, parse_site(site) if site else None)
        x = torch.linspace(-1, 2, d.d_in)[None]
        said = [str(d.reads), d.width, d.encode(x).dense(d.width)[0].tolist(), d.card.l0]
    except GlossError as problem:
        said = str(problem)
    print("said", json.dumps(said), flush=True)
"""


@dataclass
class Hub:
    """The server's folder and address, and a cache of its own."""

    folder: Path
    port: int
    cache: Path

    def repository(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.json").write_text(json.dumps(COMMITS))
        return path

    def load(self, *names: str, **environment: str) -> list:
        """What a process of its own says of each name."""
        given = {"HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HOME": str(self.cache)}
        given |= {"HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
        given |= {"TQDM_POSITION": "-1"}  # shows progress where no terminal is, too
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *names],
            env={**os.environ, **given, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        self.shown = done.stderr
        lines = done.stdout.splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("said ")]

    def requests(self) -> list[str]:
        """What was asked for since the last time."""
        log = self.folder / "requests.txt"
        asked = log.read_text().splitlines() if log.is_file() else []
        log.unlink(missing_ok=True)
        return asked


@pytest.fixture
def hub(tmp_path: Path) -> Generator[Hub]:
    folder = tmp_path / "served"
    folder.mkdir()
    program = [sys.executable, str(HERE / "hub_server.py"), str(folder)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Hub(folder, int(process.stdout.readline()), tmp_path / "cache")
    finally:
        process.kill()
        process.communicate()


def right(w: Drawn, pre: torch.Tensor) -> list[float]:
    return pytest.approx(pre[0].tolist(), abs=1e-4)


X = torch.linspace(-1, 2, 6)[None]


def test_names_are_fetched_once_and_found_again_without_a_network(hub, tmp_path):
    w = Drawn(1)
    standard = (X - w.bias) @ w.encoder.T + w.encoder_bias
    jump_relu = X @ w.encoder.T + w.encoder_bias
    lens = hub.repository("someone/saes")
    sae_lens_at(lens / "deep" / "layer_1", matrices(w), architecture="standard")
    (lens / "README.md").write_text("no part of it")
    scope = hub.repository("google/gemma-scope-2b-pt-res")
    place = "layer_3/width_16k/average_l0_59"
    write_tensors(scope / place / "params.npz", matrices(w, threshold=w.thresholds))
    layout = LAYOUTS["circuit_tracer", "transcoder, ReLU"](tmp_path, w)
    layout.place.parent.rename(hub.repository("someone/transcoders"))
    released = "gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_59"
    names = [
        "hf://someone/saes/deep/layer_1@early",
        "hf://google/gemma-scope-2b-pt-res/" + place,
        released,
        "hf://someone/transcoders/layer_1.safetensors",
        "hf://someone/transcoders#layer_0",
    ]
    early, scoped, registered, one, part = found = hub.load(*names)
    assert early[:2] == ["resid_post.1", 16]
    assert early[2] == right(w, standard.clamp_min(0))
    assert scoped[0] == registered[0] == "resid_post.3"
    assert scoped[2] == right(w, jump_relu.clamp_min(0) * (jump_relu > w.thresholds))
    assert (scoped[3], registered[3]) == (None, 59)  # which the registry measured
    assert (one[0], part[0]) == ("mlp_in.1", "mlp_in.0")
    asked = hub.requests()
    assert any(f"/someone/saes/resolve/early/deep/layer_1/{LENS}" in line for line in asked)
    assert not any("README" in line for line in asked)
    assert "params.npz" in hub.shown  # progress
    again = hub.load(*names)
    assert again == found
    assert not any("/resolve/" in line for line in hub.requests())
    offline = hub.load(*names, "hf://someone/other", HF_HUB_OFFLINE="1")
    assert offline[:-1] == found
    assert "hf://someone/other was not fetched before, and the hub cannot be asked" in offline[-1]
    assert hub.requests() == []
    (hub.folder / "down.txt").touch()
    try:
        assert hub.load(names[0]) == found[:1]  # a hub that is out of order says nothing of a name
        assert hub.load(names[0], HF_ENDPOINT="http://127.0.0.1:9") == found[:1]
    finally:
        (hub.folder / "down.txt").unlink()


LENS = "sae_weights.safetensors"


def test_what_was_cut_off_is_taken_up_where_it_ended(hub):
    w = Drawn(2)
    lens = hub.repository("someone/saes")
    big = {"W_enc": torch.zeros(6, 2**19), "b_enc": torch.zeros(2**19)}
    big |= {"W_dec": torch.zeros(2**19, 6), "b_dec": w.bias}
    sae_lens_at(lens / "sae", big, architecture="standard", d_sae=2**19)
    (hub.folder / "cut.txt").write_text(f"sae/{LENS}")
    assert hub.load("hf://someone/saes/sae")[0][1] == 2**19
    ranges = [line.split()[-1] for line in hub.requests() if "bytes=" in line]
    assert len(ranges) == 1
    assert int(ranges[0].removeprefix("bytes=").removesuffix("-")) > 2**20


def test_names_that_the_hub_does_not_have_are_told_in_one_sentence(hub):
    saes = hub.repository("someone/saes")
    for layer in range(5):
        sae_lens_at(saes / f"layer_{layer}", matrices(Drawn(1)), architecture="standard")
        write_tensors(saes / "many" / f"layer_{layer}.safetensors", matrices(Drawn(1)))
    said = hub.load(
        "hf://someone/nothing/layer_1",
        "hf://someone/saes@late",
        "hf://someone/saes",
        "hf://someone/saes/many",
        "hf://someone",
        "gpt2-small-res-jb/blocks.99.hook_resid_pre",
        "temporal-sae-gemma-2-2b/blocks.12.hook_resid_post",
        "someone/saes/layer_1",
    )
    for sentence, wanted in zip(
        said,
        (
            "hf://someone/nothing/layer_1 cannot be had from the hub",
            "hf://someone/saes@late cannot be had from the hub",
            "there are the folders layer_0, layer_1, layer_2, layer_3, layer_4, many",
            "holds 5 files of tensors; name one, as in hf://someone/saes/many/layer_0.safetensors",
            "hf://someone names no repository; write hf://owner/repository/path",
            "gpt2-small-res-jb of SAELens' registry has 13 dictionaries, and none of the name",
            "is a temporal dictionary, whose codes depend on the tokens before; it cannot be read",
            "someone/saes/layer_1 is no folder or file here; give the dictionary's, or its name on",
        ),
        strict=True,
    ):
        assert wanted in sentence
        assert "\n" not in sentence


def test_the_key_of_a_published_dictionary_holds_its_commit_and_its_registry(hub):
    lens = hub.repository("jbloom/GPT2-Small-SAEs-Reformatted")
    for layer in (8, 9):
        sae_lens_at(
            lens / f"blocks.{layer}.hook_resid_pre", matrices(Drawn(3)), architecture="standard"
        )
    whole = "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre"
    name, registered = f"key hf://{whole}", "key gpt2-small-res-jb/blocks.8.hook_resid_pre"
    by_name, by_registry, at_commit = hub.load(name, registered, f"{name}@{COMMITS['main']}")
    assert by_name == at_commit != by_registry
    assert by_name == hub.load(name.replace("8", "9"), name)[1]  # whatever else was fetched
    (hub.folder / "jbloom/GPT2-Small-SAEs-Reformatted.json").write_text(
        json.dumps(COMMITS | {"main": "c" * 40})
    )
    assert hub.load(name)[0] != by_name


def test_the_key_of_a_file_holds_the_settings_beside_it(tmp_path):
    file = LAYOUTS["dictionary_learning", "AutoEncoder"](tmp_path, Drawn(1)).place / "ae.pt"
    before = dictionary_hash(file)
    write_tensors(file.parent / "other.pt", {"x": torch.ones(2)})
    assert dictionary_hash(file) == before
    (file.parent / "config.json").write_text("{}")
    assert dictionary_hash(file) != before


def test_the_registry_says_what_the_files_do_not(hub):
    w = Drawn(3)
    lens = hub.repository("jbloom/GPT2-Small-SAEs-Reformatted")
    sae_lens_at(lens / "blocks.8.hook_resid_pre", matrices(w), architecture="standard")
    plain, centred = hub.load(
        "hf://jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre",
        "gpt2-small-res-jb/blocks.8.hook_resid_pre",
    )
    pre = (X - w.bias) @ w.encoder.T + w.encoder_bias
    assert plain[2] == right(w, pre.clamp_min(0))
    pre = (X - X.mean() - w.bias) @ w.encoder.T + w.encoder_bias
    assert centred[2] == right(w, pre.clamp_min(0))


def test_names_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("no/such/folder", "long" * 2000, "nul\0", "", "~nobody/here"):
        assert published_dictionary(name) is None
    with pytest.raises(BadInput, match="is no folder or file here"):
        load_dictionary("long" * 2000)
    (tmp_path / "gpt2-small-res-jb" / "mine").mkdir(parents=True)
    assert published_dictionary("gpt2-small-res-jb/mine") is None
    with pytest.raises(BadInput, match="has 13 dictionaries, and none of the name 'yours'"):
        published_dictionary("gpt2-small-res-jb/yours")
    whole = HubName.parse("hf://a/b/c/d.pt@refs#part")
    assert (whole.repository, whole.path, whole.revision, whole.part) == (
        *("a/b", "c/d.pt", "refs", "part"),
    )
    assert HubName.parse(str(Path("hf://a/b/c"))) == HubName("a/b", "c")
    assert [is_hub_name(name) for name in ("hf://a/b", "hf:/a/b", "hf://datasets/a/b", "a/b")] == [
        *(True, True, False, False),
    ]


def test_the_registry_is_that_of_the_wheel_it_names():
    own = _own_registry()
    assert len(own["releases"]) == 170
    assert sum(len(each["saes"]) for each in own["releases"].values()) == 13857
    stated = own["notice"].partition("SAELens ")[2].partition(",")[0]
    if (found := find_spec("sae_lens")) is None or version("sae_lens") != stated:
        pytest.skip(f"sae-lens {stated} is not installed; pip install sae-lens=={stated}")
    (folder,) = found.submodule_search_locations or []
    assert compact_registry((Path(folder) / LIST).read_text("utf-8"), stated) == own
