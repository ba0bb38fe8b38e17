"""One question about many prompts: which lines are used, what every prompt's value is, whose part
it is, and how sure that is of prompts like these.
"""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.attribute.bases import Basis, all_masks, walsh_hadamard_coefficients
from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.measures import LogitDifference, Pass
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.exact import Exact
from gloss.attribute.players.many_prompts import build_prompts_game
from gloss.attribute.players.model_components import Ablation, AblationGame, Heads
from gloss.attribute.players.prompt_file import prompt_lines, read_prompt_file
from gloss.attribute.prompt_average import AverageGame
from gloss.attribute.question import AttributionQuestion
from gloss.attribute.result.average_effects import average_effects
from gloss.attribute.result.interaction_terms import KnownAverages
from gloss.attribute.result.interactions import MISSING, Faithfulness, Interactions
from gloss.attribute.result.prompt_intervals import with_prompt_intervals
from gloss.errors import BadInput, BadSettings
from gloss.models.subject import Subject
from gloss.statistics.intervals import student_interval

WORDS = ("the", "dog", "dogs", "near", "by", "cat", "cats", "is", "are", "runs", "end")
LINES = (
    {"prompt": "the dog near the cat", "corrupted": "the dogs near the cat"},
    {"prompt": "the cat by the cats", "corrupted": "the cats by the cats"},
    {"prompt": "the dogs near the dog", "corrupted": "the dog near the dog"},
)
PLANTED_EFFECTS = {(0,): 1.0, (1,): 0.0, (5,): 0.2, (3, 4): 0.5}  # of a population of prompts
PLANTED = 2  # the head of the last layer that alone writes


@pytest.fixture(scope="module")
def planted(one_thread) -> Subject:
    """A random Llama of two layers and four heads each, all of which write nothing but one."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            out = layer.self_attn.o_proj.weight
            width = out.shape[1] // 4
            for head in range(4):
                if (number, head) == (1, PLANTED):
                    out[:, head * width : (head + 1) * width] *= 40
                else:
                    out[:, head * width : (head + 1) * width] = 0
            layer.self_attn.v_proj.weight *= 10
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "end"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Subject(model, tokenizer)


def posed(subject: Subject, lines=LINES, **asked) -> AverageGame:
    said = {"components": "heads", "answer": "is", "other": "are"} | asked
    question = AttributionQuestion(
        model="m", prompts=prompt_lines(enumerate(lines, 1), "--prompts f"), **said
    )
    return build_prompts_game(question.settle(), subject, lambda name: pytest.fail(name))


@pytest.mark.parametrize("removal", ["mean", "zero", "resample", "patch"])
def test_the_planted_head_has_all_of_it_and_the_others_nothing(planted, removal):
    game = posed(planted, removal=removal).game
    found = Exact().attribute(game, np.random.default_rng(0))
    averages = {one[0]: each.value for one, each in found.averages.items() if len(one) == 1}
    strongest = max(averages, key=lambda player: abs(averages[player]))
    assert found.players[strongest] == f"head 1.{PLANTED}"
    assert abs(averages.pop(strongest)) > 1e-3
    assert all(abs(value) < 1e-5 for value in averages.values())


def test_each_prompt_has_the_value_that_it_has_alone_whatever_their_lengths(planted):
    lines = [*LINES, {"prompt": "dogs", "corrupted": "cats"}]
    game = posed(planted, lines).game
    masks = np.random.default_rng(0).random((6, 8)) < 0.5
    together = game.values_by_prompt(masks)
    alone = [posed(planted, [line]).game.values_by_prompt(masks)[:, 0] for line in lines]
    assert together == pytest.approx(np.stack(alone, axis=1), abs=1e-4)
    assert game.values(masks) == pytest.approx(together.mean(axis=1))
    assert np.ptp(together) > 0.1


def test_with_nothing_kept_a_patched_model_says_what_it_says_of_the_twin(planted):
    game = posed(planted).game
    none = game.values_by_prompt(np.zeros((1, 8), bool))[0]
    turned = [{"prompt": line["corrupted"], "corrupted": line["prompt"]} for line in LINES]
    twins = posed(planted, turned).game.values_by_prompt(np.ones((1, 8), bool))[0]
    # all that stands at the last position is the same in a prompt and its twin
    assert none == pytest.approx(twins, abs=1e-4)
    assert np.abs(none - game.values_by_prompt(np.ones((1, 8), bool))[0]).max() > 0.03


def test_an_answer_of_several_tokens_is_read_behind_the_twin_too(planted):
    tokens = torch.tensor([[10, *planted.encode(LINES[0]["prompt"])]])
    twins = torch.tensor([[10, *planted.encode(LINES[0]["corrupted"])]])
    measure = LogitDifference(((7, 9),), ((8, 9),))
    heads = Heads.of(planted)
    game = AblationGame(planted, heads, tokens, measure, Ablation.PATCH, twins)
    none = game.values(np.zeros((1, 8), bool))
    assert none == pytest.approx(measure.of(Pass(planted, twins)).numpy(), abs=1e-4)


def test_positions_carry_the_token_of_the_twin_and_are_named_by_what_stands_there(planted):
    named = posed(planted, components="", unit="positions")
    game = named.game
    assert game.players == ("position 2 (dog / cat / dogs)",)
    kept, removed = game.values_by_prompt(np.array([[True], [False]]))
    alike = posed(planted, removal="zero").game
    assert kept == pytest.approx(alike.values_by_prompt(np.ones((1, 8), bool))[0], abs=1e-4)
    assert np.abs(kept - removed).max() > 0.03
    one = posed(
        planted,
        [{"prompt": "the dog by the cat", "corrupted": "the dogs by cats cat"}],
        components="",
        unit="positions",
    )
    assert one.game.players == ("dog (position 2)", "the (position 4)")


def test_lines_that_cannot_be_used_are_left_out_with_their_reasons(planted):
    lines = [
        *LINES,
        {"prompt": "the dog", "corrupted": "the big old dog"},
        {"prompt": "the cat"},
        {"prompt": "the cats", "corrupted": "the cat", "answer": "are", "other": "are"},
        {"prompt": 3},
        "",
    ]
    named = posed(planted, lines)
    assert named.game.prompts == 3
    [note] = [note for note in named.notes if "left out" in note]
    assert note.startswith("3 prompts are used, 5 left out (line 4: its prompt has 2 tokens")
    for said in ('line 5: it has no "corrupted"', "same tokens", "and 2 for other reasons"):
        assert said in note
    assert named.game.values(np.ones((1, 8), bool)) == pytest.approx(
        posed(planted).game.values(np.ones((1, 8), bool)), abs=1e-4
    )


def test_a_file_of_which_nothing_can_be_used_is_refused(planted, tmp_path):
    with pytest.raises(BadInput, match='line 1: it has no "corrupted"'):
        posed(planted, [{"prompt": "the dog"}], removal="patch")
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": ""}\n\nnothing\n[1]')
    with pytest.raises(BadInput, match="lines 3, 4: it is no JSON"):
        read_prompt_file(file)
    with pytest.raises(BadInput, match="cannot be read"):
        read_prompt_file(tmp_path / "none.jsonl")
    file.write_text(json.dumps(LINES[0]) + "\nno JSON\n")
    assert [bool(line.problem) for line in read_prompt_file(file)] == [False, True]
    (tmp_path / "p.txt").write_text("one\n\ntwo\n")
    assert [line.prompt for line in read_prompt_file(tmp_path / "p.txt")] == ["one", "two"]


def test_questions_about_many_prompts_that_nothing_answers_are_refused():
    lines = prompt_lines(enumerate(LINES, 1), "f")
    for asked, said in (
        ({"unit": "words"}, "players that all have"),
        ({"prompt": "a", "components": "heads"}, "brings the prompts"),
        ({"other_prompts": "f", "components": "heads"}, "brings the prompts"),
        ({"unit": "positions", "removal": "mask"}, "positions are patched"),
        ({"components": "heads", "base_url": "http://x/v1", "answer": "a"}, "leave it out"),
    ):
        with pytest.raises(BadSettings, match=said):
            AttributionQuestion(prompts=lines, **asked)
    for asked in ({"unit": "positions"}, {"components": "heads", "removal": "patch"}):
        with pytest.raises(BadSettings, match="give --prompts FILE"):
            AttributionQuestion(prompt="a", **asked)


class Sampled:
    """Prompts drawn from a population of which the effects are known: 1 of the first player, 0 of
    the second, .2 of the others, from all of which prompts differ, and .5 of a pair; each prompt
    has a level and larger sets of its own, and all share what no few sets account for.
    """

    players = tuple("abcdefghijkl")
    shared = np.random.default_rng(99).normal(0, 0.5, 2**12)

    def __init__(self, prompts: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.level = rng.normal(0, 5, prompts)
        self.own = rng.normal([1, 0, *[0.2] * 10], 0.5, (prompts, 12))
        self.pair = rng.normal(0.5, 0.4, prompts)
        self.more = rng.normal(0, 0.3, (prompts, 10))

    def values_by_prompt(self, masks):
        signs = masks * 2.0 - 1
        dense = self.shared[masks @ (1 << np.arange(12))][:, None]
        single = signs @ self.own.T / 2
        pair = np.outer(signs[:, 3] * signs[:, 4], self.pair) / 4
        larger = [signs[:, n] * signs[:, n + 1] * signs[:, n + 2] for n in range(10)]
        return self.level + dense + single + pair + np.stack(larger, axis=1) @ self.more.T / 8


def sampled_averages(known: Evaluations, masks: int, seed: int) -> Interactions:
    """What sets do on average, by the means over masks alone."""
    used = known.uniform(masks, np.random.default_rng(seed))
    averages = average_effects({}, PLANTED_EFFECTS, used.masks, used.values)
    trust = Faithfulness(MISSING, 0)
    return Interactions(
        known.players, {(): 0.0}, Basis.FOURIER, "means", trust, masks, averages=averages
    )


def test_intervals_over_prompts_hold_what_the_population_does():
    weights = walsh_hadamard_coefficients(Sampled.shared, 12)
    truth = {one: v + 2 ** len(one) * weights[one] for one, v in PLANTED_EFFECTS.items()}
    inside: dict[tuple[int, ...], list[bool]] = {one: [] for one in truth}
    masks_alone = []
    for seed in range(300):
        game = AverageGame(Sampled(10, seed), 10)
        known = Evaluations(game)
        found = sampled_averages(known, 200, seed)
        told = KnownAverages.of(with_prompt_intervals(game, known, found))
        for one, value in truth.items():
            each, alone = told.over_prompts(one, found.averages[one]), found.averages[one]
            inside[one].append(each.low <= value <= each.high)
            masks_alone.append(alone.low <= value <= alone.high)
    shares = {one: float(np.mean(held)) for one, held in inside.items()}
    assert 0.93 <= np.mean(list(shares.values())) <= 0.985, shares
    assert min(shares.values()) >= 0.92, shares
    assert np.mean(masks_alone) < 0.9  # prompts differ, and that counts


def test_measured_columns_have_students_interval_over_prompts():
    game = AverageGame(Sampled(10, 0), 10, answers_right=True)
    known = Evaluations(game)
    found = with_prompt_intervals(game, known, Exact().attribute(known, np.random.default_rng(0)))
    whole, without = game.values_by_prompt(np.array([[True] * 12, [False, *[True] * 11]]))
    assert found.over_prompts.everybody == student_interval(whole)
    assert found.over_prompts.right == int((whole > 0).sum())
    assert found.measured is None or found.over_prompts.lost[0,] == student_interval(
        whole - without
    )


def test_averages_of_a_game_of_three_players_have_intervals_over_prompts_too():
    prompts = Sampled(10, 0)

    class Three:
        players = ("a", "b", "c")

        def values_by_prompt(self, masks):
            return prompts.values_by_prompt(np.pad(masks, ((0, 0), (0, 9))))

    known = Evaluations(game := AverageGame(Three(), 10))
    found = with_prompt_intervals(game, known, Exact().attribute(known, np.random.default_rng(0)))
    whole = game.values_by_prompt(all_masks(3))
    kept = all_masks(3)[:, 1]
    each = student_interval(whole[kept].mean(axis=0) - whole[~kept].mean(axis=0))
    told = KnownAverages.of(found).term((1,)).average
    assert (told.low, told.high) == pytest.approx((each.low, each.high))


def test_one_prompt_alone_has_no_interval_over_prompts():
    game = AverageGame(Sampled(1, 0), 1)
    known = Evaluations(game)
    found = with_prompt_intervals(
        game, known, Auto(budget=150).attribute(known, np.random.default_rng(0))
    )
    assert not found.over_prompts.halves
    assert np.isnan(found.over_prompts.everybody.low)


def test_values_of_each_prompt_are_kept_and_not_asked_for_again(tmp_path):
    masks = np.random.default_rng(0).random((40, 12)) < 0.5
    first = AverageGame(Sampled(3, 0), 3, path=tmp_path / "prompts")
    values = first.values_by_prompt(masks)

    class Silent:
        players = Sampled.players

        def values_by_prompt(self, masks):
            raise AssertionError("asked again")

    again = AverageGame(Silent(), 3, path=tmp_path / "prompts")
    assert np.array_equal(again.values_by_prompt(masks), values)
    # a torn last block is asked for again, and the file is whole then
    torn = (tmp_path / "prompts").read_bytes()[:-5]
    (tmp_path / "prompts").write_bytes(torn)
    mended = AverageGame(Sampled(3, 0), 3, path=tmp_path / "prompts")
    assert np.array_equal(mended.values_by_prompt(masks), values)
    assert np.array_equal(
        AverageGame(Silent(), 3, path=tmp_path / "prompts").values_by_prompt(masks), values
    )


def test_masks_that_were_drawn_are_told():
    known = Evaluations(FunctionGame(tuple("abcd"), lambda masks: masks.sum(axis=1)))
    drawn = known.uniform(5, np.random.default_rng(0))
    known.values(np.ones((1, 4), bool))
    assert np.array_equal(known.drawn(), drawn.masks)


@pytest.mark.parametrize("prompts", [2**16, 2**16 + 1])
def test_more_prompts_than_two_bytes_count_are_kept(tmp_path, prompts):
    asked = []

    class Numbered:
        players = ("a", "b")

        def values_by_prompt(self, masks):
            asked.append(len(masks))
            return masks[:, :1] * np.arange(float(prompts))

    masks = np.array([[True, False], [False, True]])
    values = AverageGame(Numbered(), prompts, path=tmp_path / "kept").values_by_prompt(masks)
    again = AverageGame(Numbered(), prompts, path=tmp_path / "kept").values_by_prompt(masks)
    assert asked == [2]
    assert np.array_equal(again, values)
    assert again[0, -1] == prompts - 1
