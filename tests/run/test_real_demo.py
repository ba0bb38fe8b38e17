"""`gloss demo --real`, by a few features on a little text; and the dictionary that it reads."""

import numpy as np
import pytest

import gloss
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.models.bundled import SMOLLM2, bundled_dictionary
from gloss.run.commands.check import sequence_batches
from gloss.run.experiment import Experiment, demo_experiment
from gloss.run.pipeline import run_all
from gloss.store.corpus import Corpus
from gloss.store.probe_sets import INSTALL, installed_probe_sets


@pytest.fixture(scope="module")
def english():
    if not installed_probe_sets():
        pytest.skip(f"sae-probes is not installed; {INSTALL}")
    return "sae-probes:held_out"


def test_the_dictionary_of_the_real_model_is_small_enough_and_has_its_card():
    folder = bundled_dictionary(SMOLLM2)
    assert folder is not None
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 16e6
    dictionary = gloss.load_dictionary(SMOLLM2)
    assert (dictionary.width, dictionary.d_in, str(dictionary.reads)) == (
        4096,
        576,
        "resid_post.12",
    )
    card = dictionary.card
    assert card.model == "SmolLM2-135M-Instruct"
    assert None not in (card.fvu, card.l0, card.dead_share, card.cross_entropy_recovered)


def test_it_fits_the_model_on_text_that_it_never_saw(smollm2, english, tmp_path):
    from gloss.evaluate.dictionary_check import measure_reconstruction

    subject, dictionary = gloss.load_model(SMOLLM2, device="cpu"), gloss.load_dictionary(SMOLLM2)
    read_texts(subject, open_texts(english), tmp_path / "corpus", 128, 3_000)
    batches = sequence_batches(Corpus.open(tmp_path / "corpus"), subject.start_token)
    normal = measure_reconstruction(subject, dictionary, batches, frozenset(), 10.0).normal
    fvu = float(np.sum(normal.errors) / np.sum(normal.distances))
    assert fvu == pytest.approx(dictionary.card.fvu_normal, rel=0.15)


def test_the_real_demo_ends_in_pages(smollm2, english, tmp_path):
    whole = demo_experiment(tmp_path / "run", 6, real=True)
    tables = whole.tables()
    tables["collect"]["max_tokens"] = 4_000
    tables["run"]["minimum_activations"] = 20
    run_all(Experiment.of(tables))
    run = gloss.open(tmp_path / "run")
    assert len(run.features) == 6
    page = (tmp_path / "run" / "page" / "index.html").read_text()
    assert "SmolLM2-135M-Instruct" in page
    assert "the dictionary of SmolLM2 that comes with gloss" in page
