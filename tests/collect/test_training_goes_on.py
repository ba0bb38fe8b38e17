"""A training that is stopped at any step goes on from its checkpoint and ends with the bytes of an
undisturbed one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SITE, sentences, tiny_subject

from gloss.collect.activation_batches import ActivationBatches, ShuffleSettings, activation_batches
from gloss.collect.site_reader import SiteReader, SiteVectors
from gloss.collect.texts import NamedTexts
from gloss.collect.tokens import read_texts
from gloss.decompose import checkpoints, fit
from gloss.decompose.checkpoints import Checkpoints
from gloss.decompose.fit import (
    SparseTrainer,
    Trainee,
    TrainingProgress,
    fit_together,
    joint_sites,
)
from gloss.decompose.topk import TopK
from gloss.installed import installed
from gloss.models.dictionary import SparseCoder
from gloss.models.matching_pursuit import MatchingPursuit
from gloss.models.sites import Site, parse_site
from gloss.models.sparse_codes import AboveThreshold
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus

STEPS = 40
SETTINGS = {
    "width": 24,
    "k": 3,
    "tokens": STEPS * 128,
    "batch": 128,
    "learning_rate": 3e-3,
    "dead_after_tokens": 2000,
}
METHOD = TopK(**SETTINGS)
JOINT = parse_site("mlp_out.0+mlp_out.1")
SHUFFLE = ShuffleSettings(batch_size=96, buffer_tokens=300, epochs=10**6)
METHODS = {name: point.load() for name, point in installed("gloss.decompose").items()}
RESUMING = sorted(name for name, kind in METHODS.items() if getattr(kind, "resumes", False))


@dataclass(frozen=True, slots=True)
class Counting(SiteReader):
    """Says how many batches were read."""

    read: list[int] = field(default_factory=list)

    def batch(self, tokens: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> SiteVectors:
        self.read.append(len(lengths))
        return SiteReader.batch(self, tokens, starts, lengths)


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def given_text(tmp_path_factory) -> tuple[Subject, Corpus]:
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    subject = tiny_subject()
    read_texts(subject, NamedTexts(tuple(sentences(20))), folder, 32)
    return subject, Corpus.open(folder)


Train = Callable[..., tuple[SparseCoder, int]]


@pytest.fixture(scope="module")
def train(given_text) -> Train:
    """A training with a checkpoint after each step, stopped at one of them.

    With how many batches were read.
    """

    def train(
        path: Path | None, stops_at: int = 0, method: SparseTrainer = METHOD
    ) -> tuple[SparseCoder | MatchingPursuit, int]:
        site = JOINT if method.joins else SITE
        rng, (first, *others) = np.random.default_rng(7), method.sites(site)
        forward = Counting(given_text[0], first, 128, beside=tuple(others))
        batches = ActivationBatches(
            forward,
            given_text[1],
            rng,
            SHUFFLE,
        )

        def progress(told: TrainingProgress) -> None:
            if told.tokens == stops_at * METHOD.batch:
                raise Stop

        return method.fit(
            batches, site, rng, progress, checkpoints=path and Checkpoints(path, 0.0)
        ), len(forward.read)

    return train


def bytes_of(dictionary: SparseCoder | MatchingPursuit) -> list[bytes]:
    if isinstance(dictionary, MatchingPursuit):
        return [part.numpy().tobytes() for part in (dictionary.decoder_directions, dictionary.bias)]
    weights, selection = dictionary.weights, dictionary.selection
    thresholds = [selection.thresholds] if isinstance(selection, AboveThreshold) else []
    return [
        tensor.numpy().tobytes()
        for tensor in (
            weights.encoder,
            weights.encoder_bias,
            weights.decoder_directions,
            weights.bias,
            *thresholds,
        )
    ]


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_a_small_first_sample():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "FIRST_SAMPLE", 512)
        patch.setattr(checkpoints, "SHARE", 0)  # one after each step
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(train) -> tuple[SparseCoder, int]:
    return train(None)


@settings(max_examples=3, deadline=None)
@given(stops=st.lists(st.integers(1, STEPS - 1), min_size=1, max_size=2).map(sorted))
def test_stops_at_any_steps_leave_no_trace_in_the_bytes(
    undisturbed, train, tmp_path_factory, stops
):
    path = tmp_path_factory.mktemp("training") / "checkpoint.safetensors"
    for stop in dict.fromkeys(stops):
        with pytest.raises(Stop):
            train(path, stop)
    found, read = train(path)
    assert bytes_of(found) == bytes_of(undisturbed[0])
    assert read <= undisturbed[1]


@pytest.mark.parametrize("name", RESUMING)
def test_every_method_that_is_killed_at_ten_moments_ends_with_the_same_bytes(name, train, tmp_path):
    if (package := getattr(METHODS[name], "package", None)) and not find_spec(package):
        pytest.skip(f"{package} is not installed; pip install 'gloss-lm[interop]'")
    method = METHODS[name](**SETTINGS)
    whole, _ = train(None, 0, method)
    for stop in range(2, STEPS, STEPS // 10):
        with pytest.raises(Stop):
            train(tmp_path / "kept", stop, method)
    assert bytes_of(train(tmp_path / "kept", 0, method)[0]) == bytes_of(whole)


def together(
    subject: Subject, corpus: Corpus, trainees: list[Trainee], path: Path | None, stops_at: int = 0
) -> list[list[bytes]]:
    """The bytes of dictionaries that are trained in one pass, stopped at a step of the first."""
    rng = np.random.default_rng(7)
    batches = activation_batches(subject, joint_sites(trainees), corpus, rng, SHUFFLE)

    def progress(told: TrainingProgress) -> None:
        if told.tokens == stops_at * METHOD.batch:
            raise Stop

    told = [replace(trainees[0], progress=progress), *trainees[1:]]
    made = fit_together(told, batches, rng, checkpoints=path and Checkpoints(path, 0.0))
    return [bytes_of(dictionary) for dictionary in made]


def test_several_are_trained_in_one_pass_as_each_would_be_alone(given_text, tmp_path) -> None:
    other = Site("resid_post", 1)
    skip = METHODS["skip_transcoder"](**SETTINGS)
    trainees = [
        Trainee(METHOD, SITE),
        Trainee(METHOD, other),
        Trainee(METHOD, SITE, seed=1),
        Trainee(replace(METHOD, batch=256, width=12), SITE),
        Trainee(skip, Site("mlp_out", 1)),
    ]
    whole = together(*given_text, trainees, None)
    for number in (0, 1):
        assert together(*given_text, [trainees[number]], None) == [whole[number]]
    assert whole[2] != whole[0]
    assert len(whole[3][1]) == 12 * 4
    for stop in (5, STEPS - 5):
        with pytest.raises(Stop):
            together(*given_text, trainees, tmp_path / "kept", stop)
    assert together(*given_text, trainees, tmp_path / "kept") == whole


def test_it_goes_on_without_reading_again_what_it_has_learned_from(undisturbed, train, tmp_path):
    with pytest.raises(Stop):
        train(tmp_path / "kept", STEPS - 5)
    found, read = train(tmp_path / "kept")
    assert bytes_of(found) == bytes_of(undisturbed[0])
    assert read < 0.2 * undisturbed[1]


@pytest.mark.parametrize("harm", ["cut off", "flipped", "emptied", "other settings"])
def test_a_checkpoint_that_is_not_what_was_written_is_as_none(undisturbed, train, tmp_path, harm):
    path = tmp_path / "kept"
    with pytest.raises(Stop):
        train(path, 20)
    content = path.read_bytes()
    flipped = (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    )
    changes = {
        "cut off": content[:-50],
        "flipped": flipped,
        "emptied": b"",
        "other settings": content,
    }
    path.write_bytes(
        changes[harm].replace(b"width=24", b"width=25")
        if harm == "other settings"
        else changes[harm]
    )
    found, read = train(path)
    assert bytes_of(found) == bytes_of(undisturbed[0])
    assert read == undisturbed[1]


def test_checkpoints_come_when_they_are_due(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHARE", 50)
    kept = Checkpoints(tmp_path / "kept", seconds=1000.0)
    assert not kept.due()
    kept.seconds, kept.took = 0.0, 1000.0  # writing takes long: the time between two grows with it
    assert not kept.due()
    kept.took = 0.0
    assert kept.due()


def test_one_that_ends_before_the_others_lets_checkpoints_be_written(given_text, tmp_path) -> None:
    short = Trainee(replace(METHOD, tokens=2 * METHOD.batch), SITE, seed=1)
    trainees = [Trainee(METHOD, SITE), short]
    whole = together(*given_text, trainees, None)
    with pytest.raises(Stop):
        together(*given_text, trainees, tmp_path / "kept", STEPS - 5)
    assert (tmp_path / "kept").exists()
    assert together(*given_text, trainees, tmp_path / "kept") == whole
