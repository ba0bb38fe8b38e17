"""Heads, MLPs, layers and features as players: a mask does what the same edit does alone."""

import numpy as np
import pytest
import torch

from gloss.attribute.measures import LogitDifference, LogProbability, Pass, pad_token_rows
from gloss.attribute.players.model_components import (
    Ablation,
    AblationGame,
    Features,
    Heads,
    Sublayers,
)
from gloss.attribute.question import split_feature_name
from gloss.errors import BadInput, BadSettings
from gloss.intervene.edits import FeatureEdit
from gloss.models.subject import NO_EDITS
from gloss.records import PADDING, EditKind


@pytest.fixture(scope="module")
def tokens(subject):
    rows = [
        [subject.start_token, *subject.encode(text)][:9]
        for text in ("for i in range(10):\n", "def main(self, x):\n    x = 1")
    ]
    return pad_token_rows(rows)


MEASURE = LogitDifference(((5,), (6,)), ((7,), (8,)))


def clean(subject, tokens, edits=NO_EDITS) -> float:
    rows = Pass(subject, tokens, lambda _: edits, prompts=len(tokens))
    return float(MEASURE.of(rows).mean())


@pytest.mark.parametrize("ablation", list(Ablation))
@pytest.mark.parametrize("of", [Heads.of, Sublayers.mlps, Sublayers.layers])
def test_nothing_removed_changes_nothing(subject, tokens, of, ablation):
    twins = torch.where(tokens == tokens[0, 3], tokens[0, 2], tokens)
    reference = twins if ablation is Ablation.PATCH else None
    game = AblationGame(subject, of(subject), tokens, MEASURE, ablation, reference)
    whole = np.ones((1, len(game.players)), bool)
    assert game.values(whole) == pytest.approx([clean(subject, tokens)], abs=1e-4)


def test_a_head_to_zero_is_its_stretch_of_z_to_zero(subject, tokens):
    heads = Heads.of(subject)
    game = AblationGame(subject, heads, tokens, MEASURE, Ablation.ZERO)
    masks = ~np.eye(len(game.players), dtype=bool)
    values = game.values(masks)
    width = subject.width_at(heads.sites[0]) // heads.number[heads.sites[0]]
    for number, (site, head) in enumerate(heads.at):

        def cut(x, head=head):
            x[..., head * width : (head + 1) * width] = 0
            return x

        alone = clean(subject, tokens, {site: cut})
        assert values[number] == pytest.approx(alone, abs=1e-4)
    assert game.players[0] == "head 0.0"


def test_a_layer_to_zero_leaves_the_stream_as_it_was(subject, tokens):
    game = AblationGame(subject, Sublayers.layers(subject), tokens, MEASURE, Ablation.ZERO)
    none = np.zeros((1, subject.layers), bool)
    sites = [
        subject.site(f"{kind}.{layer}")
        for kind in ("attn_out", "mlp_out")
        for layer in range(subject.layers)
    ]
    bare = clean(subject, tokens, dict.fromkeys(sites, torch.zeros_like))
    assert game.values(none) == pytest.approx([bare], abs=1e-4)


def test_a_mean_is_over_what_stands_behind_the_front_token_which_keeps_its_own(subject, tokens):
    mlps = Sublayers.mlps(subject)
    game = AblationGame(subject, mlps, tokens, MEASURE, Ablation.MEAN)
    clean = subject.run(tokens, read=mlps.sites).activations
    for site, x in game.instead(tokens).items():
        behind = clean[site][:, 1:][tokens[:, 1:] != PADDING].mean(0)
        assert torch.allclose(x[0, 0], clean[site][0, 0], atol=1e-5)
        assert torch.allclose(x[0, 1:], behind.expand_as(x[0, 1:]), atol=1e-5)
    assert tokens[0, 0] == tokens[1, 0]


def test_a_feature_to_zero_is_the_same_as_ablating_it(subject, dictionary, tokens):
    x = subject.run(tokens, read=[dictionary.reads]).activations[dictionary.reads]
    codes = dictionary.encode(x[0, 1:])
    indices = tuple(sorted({int(index) for index in codes.indices.flatten() if index >= 0}))[:4]
    game = AblationGame(subject, Features(dictionary, indices), tokens, MEASURE, Ablation.ZERO)
    values = game.values(~np.eye(4, dtype=bool))
    for value, index in zip(values, indices, strict=True):
        edit = FeatureEdit(dictionary, index, EditKind.ABLATE)
        begins = torch.zeros(len(tokens), dtype=torch.int64)
        assert value == pytest.approx(clean(subject, tokens, edit.edits(0.0, begins)), abs=1e-4)


def test_many_masks_are_run_together(subject, tokens, rng, monkeypatch):
    game = AblationGame(subject, Heads.of(subject), tokens, LogProbability(((5,), (6,))))
    masks = rng.random((20, len(game.players))) < 0.5
    together = game.values(masks)
    monkeypatch.setattr("gloss.attribute.players.model_components.ROWS", 2)
    assert game.values(masks) == pytest.approx(together, abs=1e-4)
    assert np.ptp(together) > 0


def test_it_refuses_means_of_features(subject, dictionary, tokens):
    with pytest.raises(BadSettings, match="zero or resample"):
        AblationGame(subject, Features(dictionary, (1,)), tokens, MEASURE)


def test_it_refuses_a_dictionary_with_two_sites(dictionary):
    from dataclasses import replace

    from gloss.models.sites import Site

    with pytest.raises(BadInput, match="writes where it reads"):
        _ = Features(replace(dictionary, reads=Site("mlp_in", 0)), (1,)).sites


def test_a_feature_is_one_player_however_often_it_is_named(dictionary):
    assert split_feature_name("embedded@17,1,17, 1") == ("embedded", (17, 1))
    with pytest.raises(BadInput, match="give each once"):
        Features(dictionary, (17, 1, 17))
