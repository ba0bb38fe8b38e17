"""Simulation by prompt log-probabilities, against simulators of known skill on a real socket, and
in this process.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.bundled import embedded_folder
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer, PromptToken
from gloss.models.chat_models.token_marks import spell_contexts
from gloss.models.in_process import InProcess
from gloss.models.subject import Subject
from gloss.records import Failure, Negative, Reason, Score
from gloss.score import Scorer
from gloss.score.simulation import Simulation, SimulationByToken, SimulationJson
from gloss.score.simulation_metrics import (
    SimulatedContext,
    TokenPredictions,
    context_moments,
    correlation_with_failures,
    drop_empty_pieces,
    escape_line_breaks,
    expected_number,
    simulation_score,
)
from models.text_server import serve_texts
from score.one_word import evidence, explained


@pytest.fixture(scope="module")
def material():
    return evidence(np.random.default_rng(0))


@pytest.fixture(scope="module")
def servers(material):
    """Simulators that know the truth, know the word alone, and guess."""
    with (
        serve_texts("simulator", truth=truth(material)) as knows,
        serve_texts("simulator") as reads,
        serve_texts("simulator", guess=True) as guesses,
    ):
        yield {"knows": knows, "reads": reads, "guesses": guesses}


METHODS = [Simulation(), SimulationByToken(contexts=10), SimulationJson()]
NAMES = ["simulation", "simulation_by_token", "simulation_json"]


def truth(material) -> dict[str, float]:
    """What is true of every token, on the scale to 10, by the text up to it."""
    found = {}
    examples = material.examples
    for contexts in (examples.held_out, examples.inactive_held_out):
        for spelled in map(drop_empty_pieces, spell_contexts(contexts, material.corpus.vocabulary)):
            for number, value in enumerate(spelled.activations.tolist(), start=1):
                found["".join(spelled.pieces[:number])] = 2.5 * value
    return found


def simulated(address, rng, method, material, *, word=5, form="both") -> Score | Failure:
    conversation = method.score(explained(word), material, rng)
    [score] = Chat("m", f"{address}/{form}/v1", max_attempts=2).run([conversation], rng)
    return score


def prompted(method, pieces):
    return method.prompts("the word `w5`", pieces)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_each_is_a_scorer(method):
    assert isinstance(method, Scorer)


@pytest.mark.parametrize("form", ["vllm", "echo"])
def test_a_simulator_that_knows_the_truth_is_right_about_every_token(servers, material, rng, form):
    score = simulated(servers["knows"], rng, Simulation(), material, form=form)
    assert score.failed == 0
    for name in (
        "pearson",
        "pearson_firing",
        "pearson_at_base_rate",
        "r_squared_linear",
        "absolute_deviation_explained_linear",
    ):
        assert score.estimates[name].value == pytest.approx(1, abs=1e-6)
    assert score.estimates["r_squared_percentile"].value > 0.95


def test_token_by_token_a_simulator_that_knows_the_truth_is_right(servers, material, rng):
    score = simulated(servers["knows"], rng, SimulationByToken(contexts=10), material)
    assert (score.failed, score.method) == (0, "simulation_by_token")
    assert score.estimates["pearson"].value == pytest.approx(1, abs=1e-6)


def test_in_json_a_simulator_that_knows_the_truth_is_only_rounded(servers, material, rng):
    score = simulated(servers["knows"], rng, SimulationJson(), material, form="silent")
    assert score.failed == 0
    assert 0.98 < score.estimates["pearson"].value < 1


@pytest.mark.parametrize(
    "method", [Simulation(), SimulationJson()], ids=["simulation", "simulation_json"]
)
def test_a_simulator_that_guesses_is_at_nought(servers, material, rng, method):
    pearson = simulated(servers["guesses"], rng, method, material).estimates["pearson"]
    assert pearson.low <= 0 <= pearson.high
    assert abs(pearson.value) < 0.1


def test_the_explanation_of_another_feature_is_at_nought(servers, material, rng):
    right = simulated(servers["reads"], rng, Simulation(), material).estimates["pearson"]
    wrong = simulated(servers["reads"], rng, Simulation(), material, word=60).estimates["pearson"]
    assert right.low > 0.9
    assert abs(wrong.value) < 0.1


def test_a_server_that_drops_what_it_needs_is_refused(servers, material, rng):
    with pytest.raises(BadSettings, match="gives no log-probabilities of a prompt's own text"):
        simulated(servers["reads"], rng, Simulation(), material, form="dropped")
    with pytest.raises(BadSettings, match="gives no log-probabilities of what it generates"):
        simulated(servers["reads"], rng, SimulationByToken(), material, form="dropped")


def test_failures_stay_in_the_denominator_with_their_reasons(rng, material):
    with serve_texts("simulator", truth=truth(material), fails=0.4) as address:
        score = simulated(address, rng, Simulation(), material)
    assert 0.2 < score.failed / score.n < 0.6
    assert {verdict.reason for verdict in score.verdicts} == {Reason.REQUEST_ERROR}
    assert 0.5 < score.estimates["pearson"].value < 0.95


def test_a_simulator_that_never_answers_predicts_nothing(rng):
    conversation = SimulationJson().score(explained(5), evidence(rng), rng)
    prompts = next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer("no idea")] * len(prompts))
    score = over.value.value
    assert score.failed == score.n > 0
    assert score.estimates["pearson"].value == 0
    assert math.isnan(score.estimates["r_squared_linear"].value)


def test_a_side_without_contexts_is_a_failure(rng):
    with pytest.raises(StopIteration) as over:
        next(Simulation().score(explained(5), evidence(rng, inactive=0), rng))
    assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES


@pytest.mark.parametrize("kind", [kind for kind in Negative if kind is not Negative.RANDOM])
def test_from_hard_inactive_contexts_alone_nothing_is_known_at_the_true_rate(rng, kind):
    material = evidence(rng)
    inactive = replace(material.examples.inactive_held_out, quantiles=np.full(50, kind))
    conversation = SimulationJson().score(
        explained(5),
        replace(material, examples=replace(material.examples, inactive_held_out=inactive)),
        rng,
    )
    prompts = next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send(
            [Answer(f'{{"activations": {{"{1 + row % 5}": 7}}}}') for row in range(len(prompts))]
        )
    found = over.value.value.estimates
    assert np.isnan(found["pearson_at_base_rate"].value)
    assert over.value.value.headline == "pearson"
    assert found["pearson"].value != pytest.approx(found["pearson_firing"].value)


def contexts(rng, number, predicted):
    """Contexts of ten tokens, half of them with one activation.

    What is predicted is a function of the truth.
    """
    found = []
    for row in range(number):
        values = np.zeros(10)
        if row % 2:
            values[rng.integers(10)] = rng.uniform(1, 4)
        found.append(
            SimulatedContext(
                row, row, bool(row % 2), False, values, TokenPredictions(predicted(values))
            )
        )
    return found


def test_pearson_is_that_of_all_reported_tokens_flattened(rng):
    found = contexts(rng, 8, lambda a: a + rng.normal(size=10))
    # too few to set any aside
    score = simulation_score("simulation", explained(5), found, 0.1, rng)
    flat = np.corrcoef(
        np.concatenate([one.truth for one in found]),
        np.concatenate([one.predicted.values for one in found]),
    )[0, 1]
    assert score.estimates["pearson"].value == pytest.approx(flat)
    assert score.n == 80


def test_whoever_says_the_same_of_every_token_is_at_nought_whatever_rounding_leaves(rng):
    for value in (0.1, 0.3, 0.7, 1 / 3, 7.3):
        for size in range(3, 40):
            truth = rng.normal(size=size)
            sums = context_moments(truth, np.full(size, value))
            assert correlation_with_failures(sums[None]).tolist() == [0]


def test_a_failed_token_counts_as_predicted_at_the_mean(rng):
    found = contexts(rng, 8, lambda a: np.where(np.arange(10) < 5, np.nan, a + rng.normal(size=10)))
    score = simulation_score("simulation", explained(5), found, 0.1, rng)
    a, s = (
        np.concatenate(parts)
        for parts in zip(*((one.truth, one.predicted.values) for one in found), strict=True)
    )
    assert score.estimates["pearson"].value == pytest.approx(
        np.corrcoef(a, np.where(np.isnan(s), np.nanmean(s), s))[0, 1]
    )
    assert score.failed == 40


def test_calibration_comes_from_contexts_that_are_not_reported(rng):
    found = contexts(rng, 100, lambda a: 3 * a + 2)
    score = simulation_score("simulation", explained(5), found, 0.1, rng)
    assert score.n == 800  # a fifth of the documents is set aside
    for name in ("r_squared_linear", "absolute_deviation_explained_linear"):
        assert score.estimates[name].value == pytest.approx(1)
    assert score.estimates["r_squared_percentile"].value > 0.98


def test_the_interval_covers_the_correlation_of_all_contexts(rng):
    held = 0
    population = contexts(rng, 4000, lambda a: a + rng.normal(size=10))
    flat = np.corrcoef(
        *(
            np.concatenate(p)
            for p in zip(*((o.truth, o.predicted.values) for o in population), strict=True)
        )
    )[0, 1]
    for start in range(0, 4000, 40):
        pearson = simulation_score(
            "simulation", explained(5), population[start : start + 40], 0.1, rng
        ).estimates["pearson"]
        held += pearson.low <= flat <= pearson.high
    assert held >= 88  # of 100


def test_values_are_read_where_they_stand(rng):
    pieces = (" a", "\n", "?\t?")
    [prompt] = prompted(Simulation(worked_examples=1), pieces)
    assert prompt.plain.endswith('Explanation: "the word `w5`"\n a\t?\n\\n\t?\n?\\t?\t?\n')
    ends = [prompt.plain.rfind(f"{line}\t?") + len(line) + 1 for line in (" a", "\\n", "?\\t?")]
    tokens = [
        PromptToken(at, at + 1, "?", -1.0, ((str(n), 0.0),))
        for at, n in zip(ends, (3, 0, 10), strict=True)
    ]
    predicted = Simulation().predicted(
        [Answer("", prompt_logprobs=tuple(tokens))], [prompt], pieces
    )
    assert predicted.values.tolist() == [3, 0, 10]
    assert predicted.reason is None
    lacking = Simulation().predicted(
        [Answer("", prompt_logprobs=tuple(tokens[:2]))], [prompt], pieces
    )
    assert lacking.reason is Reason.UNPARSABLE
    assert np.isnan(lacking.values).tolist() == [False, False, True]


def test_a_tokenizer_that_cuts_ten_in_two_is_refused(rng):
    [prompt] = prompted(Simulation(), (" a",))
    at = prompt.plain.index("\t10\n") + 1
    tokens = (PromptToken(at, at + 1, "1", -1.0), PromptToken(at + 1, at + 2, "0", -1.0))
    with pytest.raises(BadSettings, match="highest = 9"):
        Simulation().predicted([Answer("", prompt_logprobs=tokens)], [prompt], (" a",))
    assert "\t10\n" not in prompted(Simulation(highest=9), (" a",))[0].plain


def test_the_expected_value_is_of_the_numbers_alone():
    assert expected_number(
        (("3", math.log(0.1)), (" 5", math.log(0.3)), ("the", -0.1), ("11", -0.1), ("-1", 0.0)), 10
    ) == pytest.approx(4.5)
    assert math.isnan(expected_number((("a", 0.0), ("²", 0.0)), 10))
    assert escape_line_breaks("a\tb\n\\") == "a\\tb\\n\\\\"


def test_json_is_read_whole_or_not_at_all():
    method = SimulationJson()

    def read(text):
        return method.predicted([Answer(text)], [], ("a", "b", "c")).values.tolist()

    assert read('Well: ```json\n{"activations": {"2": 10, "3": 0.5}}\n```') == [0, 10, 0.5]
    assert read('{"activations": {}}') == [0, 0, 0]
    for broken in (
        '{"activations": {"4": 1}}',
        '{"activations": {"1": 11}}',
        '{"activations": {"1": 1',
        "[0, 1, 0]",
        '{"activations": 3}',
    ):
        assert np.isnan(read(broken)).all()


def test_prompts_share_their_beginning(rng):
    prompts = next(Simulation().score(explained(5), evidence(rng), rng))
    starts = {prompt.plain.partition("the word `w5`")[0] for prompt in prompts}
    assert len(prompts) == 100
    assert len(starts) == 1


def test_it_runs_in_this_process_with_the_smallest_of_prompts(rng):
    subject = Subject.load(embedded_folder("subject"))
    vocabulary = subject.vocabulary()
    pieces = tuple(
        vocabulary.texts(
            subject.encode(
                "class Shape:\n    def area(self, width):\n        return self.width * width\n\n"
                * 2
            )[:32]
        )
    )
    [prompt] = Simulation(worked_examples=1).prompts("names of functions and classes", pieces)
    [(_, answer)] = InProcess(subject).answers([prompt], rng)
    assert answer.prompt_tokens <= 256
    predicted = Simulation().predicted([answer], [prompt], pieces)
    assert np.isfinite(predicted.values).mean() > 0.5
    assert np.nanmin(predicted.values) >= 0
    assert np.nanmax(predicted.values) <= 10


@pytest.mark.parametrize(
    "settings", [{"contexts": 1}, {"worked_examples": 4}, {"highest": 0}, {"alternatives": 0}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(BadSettings, match="simulation was given"):
        Simulation(**settings)
