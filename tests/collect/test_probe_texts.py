"""English prose out of the package sae-probes."""

import re
from collections import Counter

import pyarrow as pa
import pytest
from pyarrow import csv

from gloss.collect.probe_texts import PROSE, ProbeTexts
from gloss.collect.texts import join_pieces, open_texts
from gloss.errors import BadInput
from gloss.store import probe_sets


def contents(source: str) -> dict[str, str]:
    return {document.name: join_pieces(document.pieces) for document in open_texts(source)}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same layout, each of whose sets has the same few texts."""
    place = tmp_path / "sae_probes"
    sets = place / "data" / "cleaned_data"
    sets.mkdir(parents=True)
    (place / "__init__.py").write_text("raise RuntimeError('this package is not to be imported')")
    for number, name in enumerate(PROSE):
        texts = [
            f"Text {row} of set {number}, which is\nlong enough to be read." for row in range(9)
        ]
        texts += ["short", "The same text stands in every set, and it counts once.", None]
        table = pa.table({"prompt": texts, "target": list(range(len(texts)))})
        with pa.CompressedOutputStream(str(sets / f"{name}{probe_sets.SUFFIX}"), "zstd") as out:
            csv.write_csv(table, out)
    monkeypatch.syspath_prepend(tmp_path)
    return sets


def test_each_text_is_in_one_part_once(package):
    train, held_out = contents("sae-probes:train"), contents("sae-probes:held_out")
    assert not train.keys() & held_out.keys()
    assert contents("sae-probes") == train | held_out
    counted = Counter((train | held_out).values())
    assert len(counted) == 9 * len(PROSE) + 1
    assert set(counted.values()) == {1}
    assert "short" not in counted
    assert 0.05 < len(held_out) / len(counted) < 0.16


def test_a_beginning_is_a_mixture_of_the_sets(package):
    names = [document.name for document in open_texts("sae-probes")][: 2 * len(PROSE)]
    assert len({name.split(":")[0] for name in names}) > len(PROSE) / 2


def test_another_part_and_another_package_are_refused(package):
    with pytest.raises(BadInput, match="sae-probes:train or sae-probes:held_out"):
        open_texts("sae-probes:test")
    (package / f"{PROSE[3]}{probe_sets.SUFFIX}").unlink()
    with pytest.raises(BadInput, match=f"lacks {re.escape(PROSE[3])}; wanted 0.4.2"):
        next(iter(ProbeTexts("train")))


def test_without_the_package_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(probe_sets, "PACKAGE", "no_such_package")
    with pytest.raises(BadInput, match=r"pip install --no-deps sae-probes==0\.4\.2"):
        next(iter(open_texts("sae-probes")))


def test_the_real_package_holds_prose_of_every_named_set():
    found = probe_sets.installed_probe_sets()
    if not found:
        pytest.skip(f"sae-probes is not installed; {probe_sets.INSTALL}")
    assert set(PROSE) <= found.keys()
    table = probe_sets.read_probe_set(found["92_glue_sst2"])
    assert {"prompt", "target"} <= set(table.column_names)
    assert len(table) == 5000
