"""What an edit does to the vectors at a site, against dictionaries worked by hand."""

import numpy as np
import pytest
import torch
from by_hand import D_MODEL, MIDDLE, busy_dictionary, dictionary_of
from torch import Tensor

from gloss.errors import BadInput
from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import DirectionEdit, FeatureEdit, random_direction
from gloss.intervene.settings import EditReach
from gloss.models.dictionary import Normalisation
from gloss.models.neurons import Neurons
from gloss.models.sites import Site
from gloss.models.sparse_codes import Codes
from gloss.models.subject import Subject
from gloss.records import Control, EditKind

NORMALISATIONS = list(Normalisation)


def vectors(subject: Subject, tokens: Tensor, edits: object = None, site: Site = MIDDLE) -> Tensor:
    return subject.run(tokens, [site], edits or {}).activations[site]


def begins(tokens: Tensor) -> Tensor:
    return torch.ones(len(tokens), dtype=torch.int64)


def without(codes: Codes, feature: int) -> Codes:
    return Codes(codes.indices, torch.where(codes.indices == feature, 0.0, codes.values))


def busiest(dictionary: object, x: Tensor) -> int:
    codes = dictionary.encode(x)
    return int(codes.indices[codes.used].mode().values)


def test_ablating_is_decoding_without_the_feature_with_the_error_kept(
    subject: Subject, prompts: Tensor
):
    dictionary = busy_dictionary()
    x = vectors(subject, prompts)[:, 1:].flatten(0, 1)
    feature = busiest(dictionary, x)
    codes = dictionary.encode(x)
    assert 0 < int((codes.indices == feature).sum()) < len(x)  # it fires here and there
    expected = dictionary.decode(without(codes, feature)) + (x - dictionary.decode(codes))
    edits = FeatureEdit(dictionary, feature, EditKind.ABLATE).edits(0.0, begins(prompts))
    torch.testing.assert_close(
        vectors(subject, prompts, edits)[:, 1:].flatten(0, 1), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_ablating_undoes_the_normalisation_of_the_dictionary(
    subject: Subject, prompts: Tensor, normalisation: Normalisation
):
    """In the scale of the input the reconstruction loses exactly what the feature put there."""
    dictionary = busy_dictionary(normalisation=normalisation)
    x = vectors(subject, prompts)[:, 1:].flatten(0, 1)
    feature = busiest(dictionary, x)
    codes = dictionary.encode(x)
    scale = {"none": torch.ones(len(x), 1), "layer_norm": x.std(1, keepdim=True)}.get(
        normalisation, x.norm(dim=1)[:, None] / 32**0.5
    )
    lost = (dictionary.decode(codes) - dictionary.decode(without(codes, feature))) * scale
    edits = FeatureEdit(dictionary, feature, EditKind.ABLATE).edits(0.0, begins(prompts))
    torch.testing.assert_close(
        vectors(subject, prompts, edits)[:, 1:].flatten(0, 1), x - lost, rtol=1e-4, atol=1e-4
    )


def test_adding_adds_so_many_decoder_directions(subject: Subject, prompts: Tensor):
    dictionary = busy_dictionary()
    edits = FeatureEdit(dictionary, 3).edits(2.5, begins(prompts))
    expected = vectors(subject, prompts)[:, 1:] + 2.5 * dictionary.decoder_directions[3]
    torch.testing.assert_close(vectors(subject, prompts, edits)[:, 1:], expected)


def test_setting_gives_the_feature_that_activation_whatever_it_was(
    subject: Subject, prompts: Tensor
):
    """Orthonormal decoder directions that are read as they are written: after setting, the
    dictionary reads what was set.
    """
    eye = torch.eye(D_MODEL)
    dictionary = dictionary_of(*eye, site=MIDDLE)
    dictionary = type(dictionary)(
        MIDDLE,
        MIDDLE,
        type(dictionary.weights)(eye, torch.zeros(32), eye, torch.zeros(32)),
        dictionary.selection,
    )
    x = vectors(
        subject, prompts, FeatureEdit(dictionary, 5, EditKind.SET).edits(100.0, begins(prompts))
    )[:, 1:]
    first = vectors(subject, prompts)[:, 1:]
    fired = first[..., 5] == first.amax(-1)
    torch.testing.assert_close(
        x[..., 5], torch.where(fired & (first[..., 5] > 0), 100.0, first[..., 5] + 100.0)
    )


@pytest.mark.parametrize("edit", [EditKind.ADD, EditKind.SET, EditKind.ABLATE])
def test_an_edit_that_changes_no_activation_changes_no_bit(
    subject: Subject, prompts: Tensor, edit: EditKind
):
    """Adding 0; setting or ablating to 0 a feature that never fires."""
    edits = FeatureEdit(dictionary_of(torch.ones(D_MODEL), site=MIDDLE), 0, edit).edits(
        0.0, begins(prompts)
    )
    clean = subject.run(prompts, [MIDDLE], logits=True)
    edited = subject.run(prompts, [MIDDLE], edits, logits=True)
    real = prompts >= 0
    assert (
        clean.activations[MIDDLE][real].numpy().tobytes()
        == edited.activations[MIDDLE][real].numpy().tobytes()
    )
    assert clean.logits[real].numpy().tobytes() == edited.logits[real].numpy().tobytes()


def test_setting_to_the_activation_that_is_there_changes_no_bit(subject: Subject):
    """One token, whose activation is known."""
    tokens, dictionary = torch.tensor([[0, 7]]), busy_dictionary()
    codes = dictionary.encode(vectors(subject, tokens)[0, 1:])
    edits = FeatureEdit(dictionary, int(codes.indices[0, 0]), EditKind.SET).edits(
        float(codes.values[0, 0]), begins(tokens)
    )
    assert torch.equal(vectors(subject, tokens, edits), vectors(subject, tokens))


@pytest.mark.parametrize("edit", list(EditKind))
def test_the_start_token_stays_untouched(subject: Subject, prompts: Tensor, edit: EditKind):
    baseline = Baseline.of(subject, prompts, MIDDLE)
    edits = FeatureEdit(busy_dictionary(), 3, edit).edits(9.0, baseline.begins)
    assert torch.equal(vectors(subject, prompts, edits)[:, 0], vectors(subject, prompts)[:, 0])
    if edit is not EditKind.ABLATE:
        assert (
            not torch.isclose(
                vectors(subject, prompts, edits)[:, 1:], vectors(subject, prompts)[:, 1:]
            )
            .all(-1)
            .any()
        )


def test_a_sequence_without_a_start_token_is_changed_from_its_first(subject: Subject):
    tokens = torch.tensor([[5, 6, 7]])
    baseline = Baseline.of(subject, tokens, MIDDLE)
    assert baseline.begins.tolist() == [0]


def test_the_last_token_alone_is_changed_where_asked(subject: Subject, prompts: Tensor):
    baseline = Baseline.of(subject, prompts, MIDDLE, EditReach.LAST)
    edits = FeatureEdit(busy_dictionary(), 3).edits(9.0, baseline.begins)
    same = (vectors(subject, prompts, edits) == vectors(subject, prompts)).all(-1)
    assert [
        int(row.sum()) for row, tokens in zip(same, prompts >= 0, strict=True) if tokens.any()
    ] == [4 + n % 6 for n in range(12)]


def test_neurons_are_read_at_one_site_and_written_at_another(subject: Subject, prompts: Tensor):
    neurons = Neurons.of(subject, 1)
    site = subject.site(neurons.writes)
    hidden, y = (subject.run(prompts, [at]).activations[at] for at in (neurons.reads, site))
    edits = FeatureEdit(neurons, 2 * 7, EditKind.ABLATE).edits(0.0, begins(prompts))
    expected = y - hidden[..., 7:8].relu() * neurons.decoder_directions[14]
    torch.testing.assert_close(
        vectors(subject, prompts, edits, site)[:, 1:], expected[:, 1:], rtol=1e-5, atol=1e-5
    )


def test_a_feature_that_there_is_not_is_refused():
    for feature in (20, -1):
        with pytest.raises(
            BadInput,
            match=f"feature {feature}: the dictionary has 20 features; give one of 0 to 19",
        ):
            FeatureEdit(busy_dictionary(), feature)


def test_a_direction_is_added(subject: Subject, prompts: Tensor):
    edit = DirectionEdit(MIDDLE, torch.arange(32.0))
    expected = vectors(subject, prompts)[:, 1:] + 0.5 * torch.arange(32.0)
    torch.testing.assert_close(
        vectors(subject, prompts, edit.edits(0.5, begins(prompts)))[:, 1:], expected
    )


def test_the_random_direction_is_as_long_as_the_decoder_direction_and_is_called_a_control(
    rng: np.random.Generator,
):
    feature = FeatureEdit(busy_dictionary(), 4)
    drawn = [random_direction(feature, D_MODEL, rng) for _ in range(200)]
    assert all(one.unit == pytest.approx(feature.unit, rel=1e-5) for one in drawn)
    assert {(one.writes, one.control, one.edit) for one in drawn} == {
        (MIDDLE, Control.RANDOM_DIRECTION, EditKind.ADD)
    }
    mean = torch.stack([one.direction for one in drawn]).mean(0).norm()
    assert mean < 3 * feature.unit / 200**0.5  # it points nowhere in particular
