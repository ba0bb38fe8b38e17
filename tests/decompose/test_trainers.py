"""What each method that learns finds where it must win, and what it misses where it must fail.

Bounds lie outside what seeds 0 to 3 gave, which a comment beside each states.
"""

import numpy as np
import pytest
import torch
from planted_vectors import AT_ONCE, Planted, mean_active, superposed, unexplained

from gloss.decompose.batch_topk import BatchTopK, largest_of_batch
from gloss.decompose.fit import TrainingProgress
from gloss.decompose.frozen import FrozenDecoder, FrozenEncoder, SoftFrozenDecoder
from gloss.decompose.gated import GatedAutoencoder
from gloss.decompose.jump_relu import JumpReLU
from gloss.decompose.matching_pursuit import PursuitTrainer
from gloss.decompose.matryoshka import Matryoshka
from gloss.decompose.sparse_gradients import ActiveCodes, decode_active
from gloss.decompose.topk import TopK
from gloss.decompose.training import Training
from gloss.decompose.variational import Variational
from gloss.errors import BadSettings
from gloss.models.dictionary import SparseCoder
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.matching_pursuit import MatchingPursuit
from gloss.models.sites import Site

SITE = Site("resid_post", 0)
NUMBER, LENGTH, K = 64, 32, 4
LEARNING = {
    "tokens": 60_000,
    "batch": 512,
    "learning_rate": 1e-2,
    "dead_after_tokens": 10_000,
    "auxiliary_k": 16,
}
SEED = 0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def fitted(method, planted: Planted):
    """Not by the generator that drew the directions, which would be drawn once more."""
    return method.fit(iter(planted), SITE, np.random.default_rng(SEED + 100))


@pytest.mark.parametrize("kind", [BatchTopK, JumpReLU])
def test_tokens_of_unequal_need_get_unequally_many_features(kind, rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, 1, 7)  # 1 active direction, or 7
    x = planted.sample()
    dictionary, equal = (fitted(each(NUMBER, K, **LEARNING), planted) for each in (kind, TopK))
    # .73 to .81 of TopK's
    assert unexplained(dictionary, x) < 0.87 * unexplained(equal, x)
    assert 0.8 * K < mean_active(dictionary, x) < 1.2 * K


def test_batch_topk_leaves_short_vectors_without_features(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K, K, scales=(1.0, 0.1))
    batch, equal = (fitted(kind(NUMBER, K, **LEARNING), planted) for kind in (BatchTopK, TopK))
    strengths = planted.strengths()
    short = strengths[(strengths.max(1) > 0) & (strengths.max(1) < 0.15)]
    x = planted.vectors(short)
    assert mean_active(batch, x) < 0.1  # 0
    assert mean_active(equal, x) > 3  # 4.0


def test_jump_relu_moves_no_threshold_that_nothing_comes_near(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, 1, 7)
    training = Training.begin(
        method := JumpReLU(NUMBER, K, bandwidth=1e-9, **LEARNING), planted.sample(), rng
    )
    before = training.parameters["log_threshold"].clone()
    for _ in range(20):
        training.step(planted.sample(1), 1.0)
    assert torch.equal(training.parameters["log_threshold"], before)
    wider = Training.begin(JumpReLU(NUMBER, K, **LEARNING), planted.sample(), rng)
    wider.step(planted.sample(1), 1.0)
    assert not torch.equal(wider.parameters["log_threshold"], before)
    assert method.bandwidth


def test_the_magnitudes_of_gated_do_not_shrink_as_its_gates_do(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K)
    method = GatedAutoencoder(NUMBER, K, **LEARNING)
    training = Training.begin(method, planted.sample(), np.random.default_rng(SEED + 100))
    for step in range(120):
        training.step(planted.sample(1), min(1.0, (120 - step) / 24))
    x = planted.sample() * training.scale
    centred = x - training.bias
    pre = training.pre_activations(centred)
    gates = ActiveCodes.where(pre, pre > 0)
    weights, selection = method.finished(training)
    coder = SparseCoder(SITE, SITE, weights, selection)
    by_gates = decode_active(gates, training.decoder_directions)
    by_magnitude = (coder.reconstruct(x / training.scale) - weights.bias) * training.scale

    def length(y: torch.Tensor) -> float:  # 1 where nothing shrinks (the paper's equation 13)
        return float(y.square().sum() / (y * centred).sum())

    assert length(by_gates) < 0.5  # .32 to .33
    assert 0.96 < length(by_magnitude) < 1.04  # .996 to 1.011


def test_gated_has_not_found_its_price_after_a_few_steps(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K)
    short = GatedAutoencoder(NUMBER, K, **LEARNING | {"tokens": 10 * 512})
    assert mean_active(fitted(short, planted), planted.sample()) > 2 * K  # 12.9 to 13.5


PARENTS, CHILDREN = 4, 3


def tree(rng: np.random.Generator) -> Planted:
    """Orthogonal directions: 4 parents, each with 3 children of which one is active at half of the
    parent's tokens, and never without it.
    """
    number = PARENTS * (1 + CHILDREN)
    directions = np.linalg.qr(rng.standard_normal((24, 24)))[0][:number].astype(np.float32)

    def strengths() -> np.ndarray:
        parent = rng.random((AT_ONCE, PARENTS)) < 0.3
        chosen = rng.integers(0, 2 * CHILDREN, (AT_ONCE, PARENTS))
        child = parent[:, :, None] & (chosen[:, :, None] == np.arange(CHILDREN))
        on = np.concatenate([parent, child.reshape(AT_ONCE, -1)], axis=1)
        return on * rng.uniform(0.9, 1.1, (AT_ONCE, number))

    return Planted(torch.from_numpy(directions), strengths)


def whole_parents(dictionary: SparseCoder, planted: Planted) -> float:
    """How often the feature that is most like a parent fires where a child is active, too."""
    strengths = np.concatenate([planted.strengths() for _ in range(8)])
    codes = dictionary.encode(planted.vectors(strengths)).dense(dictionary.width).numpy()
    likest = (planted.directions[:PARENTS] @ dictionary.decoder_directions.T).argmax(1)
    children = strengths[:, PARENTS:].reshape(-1, PARENTS, CHILDREN).any(2)
    return float(np.mean([(codes[children[:, p], likest[p]] > 0.3).mean() for p in range(PARENTS)]))


def test_matryoshka_keeps_parents_whole_where_others_let_children_absorb_them(rng) -> None:
    planted = tree(rng)
    number = len(planted.directions)
    nested = Matryoshka(number, 2, nested=(PARENTS / number, 1.0), **LEARNING)
    flat = BatchTopK(number, 2, **LEARNING)
    found = [whole_parents(fitted(method, planted), planted) for method in (nested, flat)]
    # .82 to 1.00, against .59 to .85; of one seed .15 to .31 more
    assert found[0] > 0.75
    assert found[0] > found[1] + 0.08


def test_matryoshka_pays_for_its_order_where_there_is_no_hierarchy(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K)
    x = planted.sample()
    nested, flat = (
        unexplained(fitted(kind(NUMBER, K, **LEARNING), planted), x)
        for kind in (Matryoshka, BatchTopK)
    )
    assert nested > 1.08 * flat  # 1.15 to 1.23


def test_matching_pursuit_leaves_less_of_a_superposition_than_topk(rng, tmp_path) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K)
    x = planted.sample()
    pursuit, largest = (
        fitted(kind(NUMBER, K, **LEARNING), planted) for kind in (PursuitTrainer, TopK)
    )
    assert unexplained(pursuit, x) < 0.75 * unexplained(largest, x)  # .54 to .60
    assert planted.recovered(pursuit) > 0.75  # .84 to .91, of TopK .48 to .63
    save_dictionary(pursuit, tmp_path / "pursued")
    again = load_dictionary(tmp_path / "pursued")
    assert torch.equal(again.encode(x).dense(NUMBER), pursuit.encode(x).dense(NUMBER))
    with pytest.raises(BadSettings, match="cannot be written as sparsify"):
        save_dictionary(pursuit, tmp_path / "other", format="sparsify")


def test_matching_pursuit_is_greedy_where_a_direction_lies_between_two(rng) -> None:
    """Also with the true directions: their middle is taken first, and never let go of."""
    one, other = torch.eye(4)[:2]
    between = (one + other) / 2**0.5
    truth = torch.stack([one, other, between])
    pursuit = MatchingPursuit(SITE, truth, torch.zeros(4), most=2, enough=0.0)
    assert pursuit.encode((one + 0.9 * other)[None]).dense(3)[0, 2] > 1.2


def test_variational_does_worse_than_topk_by_its_noise_and_kills_by_its_price(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K)
    x = planted.sample()

    def made(**own: float) -> SparseCoder:
        return fitted(Variational(NUMBER, K, **LEARNING, **own), planted)

    def dead(dictionary: SparseCoder) -> float:
        codes = dictionary.encode(x)
        return 1 - len(codes.indices[codes.used].unique()) / NUMBER

    drawn, free, dear, quiet = made(), made(divergence=0.0), made(divergence=1.0), made(noise=0.2)
    equal = fitted(TopK(NUMBER, K, **LEARNING), planted)
    assert planted.recovered(drawn) < 0.2  # .03 to .08, of TopK .48 to .62
    assert planted.recovered(equal) > 0.4
    assert unexplained(drawn, x) > 2 * unexplained(equal, x)  # .67 to .72, of TopK .24 to .27
    assert dead(equal) < 0.05  # 0
    assert dead(free) < 0.3 < dead(dear) - 0.1  # .06 to .20, and .59 to .97
    # it is the noise, whose weight goes by the scale of the inputs
    assert planted.recovered(quiet) > 0.4  # .58 to .75


def test_controls_recover_nothing_and_yet_explain_variance(rng) -> None:
    planted = superposed(rng, NUMBER, LENGTH, K)
    x = planted.sample()
    learned, decoder, encoder, soft = (
        fitted(kind(NUMBER, K, **LEARNING), planted)
        for kind in (TopK, FrozenDecoder, FrozenEncoder, SoftFrozenDecoder)
    )
    assert planted.recovered(learned) > 0.4  # .48 to .63
    for control in (decoder, encoder, soft):  # 0, 0, and 0 to .06
        assert planted.recovered(control) < 0.15
        # TopK .24 to .27, soft .34 to .37, encoder .50 to .51, decoder .62
        assert unexplained(learned, x) + 0.05 < unexplained(control, x) < 0.7
    drawn = fitted(FrozenDecoder(NUMBER, K, **LEARNING | {"tokens": 512}), planted)
    assert torch.equal(decoder.decoder_directions, drawn.decoder_directions)
    cosines = (soft.decoder_directions * drawn.decoder_directions).sum(1)
    assert 0.8 - 1e-5 < float(cosines.min()) < 0.81
    assert torch.equal(encoder.weights.encoder, drawn.decoder_directions)


def test_the_largest_of_a_batch_are_the_same_from_any_guess(rng) -> None:
    pre = torch.from_numpy(rng.standard_normal((50, 30), dtype=np.float32))
    wanted = pre * (pre >= pre.flatten().topk(100).values[-1])
    for guess in (0.0, 0.5, 2.9):
        found = largest_of_batch(pre, 100, guess)
        dense = torch.zeros(50, 30).index_put((found.tokens, found.indices), found.values)
        assert torch.equal(dense, wanted)
    assert len(largest_of_batch(-pre.abs(), 100).values) == 0


def test_progress_tells_loss_l0_and_the_time_that_is_left(rng) -> None:
    told: list[TrainingProgress] = []
    method = JumpReLU(NUMBER, K, **LEARNING)
    method.fit(iter(superposed(rng, NUMBER, LENGTH, K)), SITE, rng, told.append)
    assert all(each.loss >= each.fvu > 0 for each in told)
    assert 0 < told[-1].l0 < 3 * K
    assert told[0].seconds_left > told[-1].seconds_left == 0
    assert str(told[-1]).startswith("FVU 0.")


@pytest.mark.parametrize(
    "kind,settings,message",
    [
        (Matryoshka, {"nested": (0.5, 0.25, 1.0)}, "give shares that rise"),
        (Matryoshka, {"nested": (0.5,)}, "give shares that rise"),
        (Matryoshka, {"width": 32}, "gives the widths"),
        (Matryoshka, {"selection_of": "token"}, '"topk" or "batch_topk"'),
        (JumpReLU, {"bandwidth": 0.0}, "bandwidth"),
        (Variational, {"noise": -1.0}, "noise"),
        (SoftFrozenDecoder, {"within": 1.5}, "a cosine between 0 and 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind, settings, message) -> None:
    if settings == {"width": 32}:
        settings = {"width": 16, "k": 4}
    with pytest.raises(BadSettings, match=message):
        kind(**settings)
