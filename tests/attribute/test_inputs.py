"""Prompts as games of the embedded subject: values are those of running what is left alone."""

import numpy as np
import pytest
import torch

from gloss.attribute.bases import Basis, all_masks
from gloss.attribute.measures import FeatureActivation, KlFromClean, LogitDifference, LogProbability
from gloss.attribute.methods.exact import Exact
from gloss.attribute.players.model_components import AblationGame, Sublayers
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import PromptUnit, TokenGroups
from gloss.attribute.players.subject_games import cut_prompt
from gloss.errors import BadInput
from gloss.models.structure.forward_pass import compute_logits

TEXT = "for i in range(10):\n    print("


def game(subject, measure, text=TEXT, unit=PromptUnit.WORDS) -> PromptGame:
    return PromptGame(subject, cut_prompt(subject, text, unit), measure)


def one_by_one(game: PromptGame, masks: np.ndarray, answer: tuple[int, ...]) -> list[float]:
    """The answer's log-probability after each rest, a token at a time."""
    found = []
    for mask in masks:
        row, total = game.row(mask), 0.0
        for token in answer:
            logits = game.subject.next_logits(torch.tensor([row]))[0].double()
            total += float(logits.log_softmax(0)[token])
            row = [*row, token]
        found.append(total)
    return found


@pytest.mark.parametrize("answer", ["i", "i, end)"])
def test_the_log_probability_of_an_answer(subject, answer, rng):
    tokens = tuple(subject.encode(answer))
    words = game(subject, LogProbability((tokens,)))
    masks = rng.random((20, len(words.players))) < 0.5
    assert words.values(masks) == pytest.approx(one_by_one(words, masks, tokens), abs=1e-4)


def test_log_odds_and_differences_of_two_answers(subject):
    yes, no = subject.encode("i")[:1], subject.encode("x")[:1]
    masks = np.ones((1, 5), bool)
    log_p = game(subject, LogProbability((tuple(yes),))).values(masks)
    odds = game(subject, LogProbability((tuple(yes),), odds=True)).values(masks)
    assert odds == pytest.approx(log_p - np.log1p(-np.exp(log_p)))
    difference = game(subject, LogitDifference((tuple(yes),), (tuple(no),))).values(masks)
    assert difference == pytest.approx(
        log_p - game(subject, LogProbability((tuple(no),))).values(masks), abs=1e-4
    )


def test_the_kl_is_0_where_nothing_is_removed(subject):
    words = game(subject, LogProbability(((1,),)))
    whole = torch.tensor([words.row(np.ones(len(words.players), bool))])
    values = game(subject, KlFromClean.of_prompts(subject, whole)).values(
        np.array([[True] * 5, [False] * 5])
    )
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[1] > 0.1


def test_why_a_feature_fires_is_the_token_that_it_fires_at(subject, dictionary):
    tokens = subject.encode("import os\nimport sys\n")[:8]
    run = subject.run(
        torch.tensor([[subject.start_token, *tokens]]), read=[dictionary.reads]
    ).activations[dictionary.reads]
    codes = dictionary.encode(run[0, -1:])
    feature = int(codes.indices[0, codes.values[0].argmax()])
    row = TokenGroups.of_tokens(tokens, subject.vocabulary().strings)
    fires = PromptGame(subject, row, FeatureActivation(dictionary, feature))
    masks = np.ones((1, len(tokens)), bool)
    assert fires.values(masks) == pytest.approx([float(codes.values.max())], rel=1e-4)
    found = Exact().attribute(fires, np.random.default_rng(0))
    assert found.predict(masks) == pytest.approx(fires.values(masks), rel=1e-5)


def test_the_start_token_alone_has_no_activation(subject, dictionary):
    row = TokenGroups.of_tokens(subject.encode("x = 1"), subject.vocabulary().strings)
    nothing = np.zeros((1, len(row.tokens)), bool)
    assert PromptGame(subject, row, FeatureActivation(dictionary, 3, anywhere=True)).values(
        nothing
    ) == [0.0]


@pytest.fixture(scope="module")
def fires_at_start(subject, dictionary) -> int:
    """The feature that is strongest at the start token."""
    start = torch.tensor([[subject.start_token]])
    x = subject.run(start, read=[dictionary.reads]).activations[dictionary.reads][0]
    codes = dictionary.encode(x)
    assert float(codes.values.max()) > 0
    return int(codes.indices[0, codes.values[0].argmax()])


@pytest.mark.parametrize("anywhere", [False, True])
def test_a_feature_that_fires_at_the_start_token_is_not_counted_there(
    subject, dictionary, fires_at_start, anywhere
):
    tokens = subject.encode("x = 1")
    measure = FeatureActivation(dictionary, fires_at_start, anywhere)
    masks = np.array([[False] * len(tokens), [True] * len(tokens)])
    row = TokenGroups.of_tokens(tokens, subject.vocabulary().strings)
    site, whole = dictionary.reads, torch.tensor([[subject.start_token, *tokens]])
    codes = dictionary.encode(subject.run(whole, read=[site]).activations[site][0, 1:])
    elsewhere = (codes.values * (codes.indices == fires_at_start)).sum(1)
    expected = [0.0, float(elsewhere.max() if anywhere else elsewhere[-1])]
    assert PromptGame(subject, row, measure).values(masks) == pytest.approx(expected, abs=1e-5)
    components = AblationGame(subject, Sublayers.mlps(subject), whole, measure)
    everybody = np.ones((1, len(components.players)), bool)
    assert components.values(everybody) == pytest.approx(expected[1:], abs=1e-5)
    alone = AblationGame(subject, Sublayers.mlps(subject), whole[:, :1], measure)
    assert alone.values(everybody) == [0.0]


def test_batches_do_not_change_values(subject, monkeypatch):
    words = game(subject, LogProbability(((5,),)))
    masks = all_masks(5)
    whole = words.values(masks)
    monkeypatch.setattr("gloss.attribute.measures.NODES", 30)
    assert words.values(masks) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("tree", [True, False])
def test_no_position_is_read_for_nothing(subject, rng, monkeypatch, tree):
    """What a value costs is at most a pass over its own tokens, and its last position's logits;
    what masks begin with in common is read once.
    """
    words = game(subject, LogProbability(((5,),)), TEXT * 2)
    masks = np.unique(rng.random((60, len(words.players))) < 0.5, axis=0)
    expected, read = words.values(masks), []

    def counted(model, tokens, kept=None, **others):
        read.append((tokens.numel(), len(tokens) * kept.numel()))
        return compute_logits(model, tokens, kept, **others)

    monkeypatch.setattr("gloss.models.subject.compute_logits", counted)
    monkeypatch.setitem(subject.__dict__, "reads_trees", tree)
    assert words.values(masks) == pytest.approx(expected, abs=1e-4)
    rows = {tuple(words.row(mask)) for mask in masks}
    beginnings = {row[: at + 1] for row in rows for at in range(len(row))}
    positions, logits = np.sum(read, axis=0)
    assert positions == (len(beginnings) if tree else sum(map(len, rows)))
    assert logits == len(rows)


def test_a_conjunction_of_words_is_found(subject):
    """A measure that fires where two words are both left stands for a subject whose answer is
    known.
    """

    class Both:
        def of(self, rows):
            wanted = set(subject.encode(" range(10):")) | set(subject.encode(" print("))
            return torch.tensor([float(wanted <= set(row)) for row in rows.tokens.tolist()])

    found = (
        Exact()
        .attribute(game(subject, Both(), "for i in range(10): print("), np.random.default_rng(0))
        .into(Basis.MOBIUS)
    )
    assert found.strongest(1) == [((3, 4), pytest.approx(1.0))]


def test_it_refuses_an_empty_answer(subject):
    with pytest.raises(BadInput, match="answer is empty"):
        game(subject, LogProbability(())).values(np.ones((1, 5), bool))


def test_it_refuses_a_feature_that_is_not_there(dictionary):
    with pytest.raises(BadInput, match="give one of 0 to"):
        FeatureActivation(dictionary, dictionary.width)
