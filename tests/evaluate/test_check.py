from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.errors import BadInput, Mismatch
from gloss.evaluate.dictionary_check import DictionaryCheck, check_dictionary, compare_with_card
from gloss.models.dictionary import Card, SparseCoder, Weights
from gloss.models.neurons import Neurons
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold, LargestK
from gloss.models.subject import Subject
from gloss.statistics.intervals import ratio_with_interval

SITE = Site("resid_post", 1)
D_MODEL = 16


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A random Llama of two layers, whose sequences begin with token 0."""
    configuration = LlamaConfig(
        vocab_size=50,
        hidden_size=D_MODEL,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(configuration)
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(50)}, unk_token="w1"))
    return Subject(model, tokenizer, start_token=0)


@pytest.fixture
def batches(rng: np.random.Generator) -> list[torch.Tensor]:
    """Two batches, the start token in front, one sequence cut short by padding."""
    drawn = torch.from_numpy(rng.integers(1, 50, (8, 20)))
    drawn[:, 0] = 0
    drawn[2, 15:] = -1
    return list(drawn.split(4))


def perfect(site: Site = SITE) -> SparseCoder:
    """Each number's two signs as two features: reconstructs everything."""
    signs = torch.cat([torch.eye(D_MODEL), -torch.eye(D_MODEL)])
    weights = Weights(signs, torch.zeros(2 * D_MODEL), signs, torch.zeros(D_MODEL))
    return SparseCoder(site, site, weights, LargestK(D_MODEL))


def inactive(bias: torch.Tensor) -> SparseCoder:
    """Never active: reconstructs its bias."""
    weights = Weights(torch.zeros(4, D_MODEL), torch.zeros(4), torch.ones(4, D_MODEL), bias)
    return SparseCoder(SITE, SITE, weights, AboveThreshold(torch.ones(4)))


def test_a_perfect_dictionary_loses_nothing(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    found = check_dictionary(subject, perfect(), batches, rng)
    assert (found.sequences, found.tokens) == (8, 8 * 19 - 5)
    assert found.fvu.value == pytest.approx(0, abs=1e-9)
    assert found.spliced.value == pytest.approx(found.clean.value, abs=1e-5)
    assert found.recovered.value == pytest.approx(1, abs=1e-4)
    assert found.l0.value == D_MODEL
    assert found.dead_share == 0
    assert found.fits


def test_an_inactive_dictionary_is_the_ablation_by_its_bias(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    found = check_dictionary(subject, inactive(torch.zeros(D_MODEL)), batches, rng)
    assert found.spliced.value == pytest.approx(found.zero_ablated.value, abs=1e-6)
    assert found.recovered.value == pytest.approx(0, abs=1e-5)
    assert (found.l0.value, found.dead_share) == (0, 1)
    assert found.fvu.value >= 1
    assert not found.fits


def test_the_mean_explains_no_variance_and_recovers_nothing_over_itself(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    vectors = torch.cat(
        [subject.run(b, read=(SITE,)).activations[SITE][:, 1:][b[:, 1:] >= 0] for b in batches]
    )
    found = check_dictionary(subject, inactive(vectors.mean(0)), batches, rng)
    assert found.fvu.value == pytest.approx(1, abs=1e-5)
    assert found.recovered_over_mean.value == pytest.approx(0, abs=1e-3)


def test_the_start_tokens_place_stays_untouched(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    """Ablated by hand at every position of text, the loss is that of the check."""
    losses, predicted = 0.0, 0
    for tokens in batches:

        def ablated(x: torch.Tensor) -> torch.Tensor:
            kept = x.clone()
            kept[:, 1:] = 0
            return kept

        logits = subject.run(tokens, edits={SITE: ablated}, logits=True).logits
        for row, ids in enumerate(tokens):
            for position in range(1, len(ids) - 1):
                if ids[position + 1] >= 0:
                    losses -= logits[row, position].log_softmax(0)[ids[position + 1]].item()
                    predicted += 1
    found = check_dictionary(subject, perfect(), batches, rng)
    assert found.zero_ablated.value == pytest.approx(losses / predicted, abs=1e-5)


def test_massive_tokens_are_counted_apart_and_hide_nothing(
    subject: Subject, batches: list, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One word whose embedding is huge: with it the FVU looks good, without it the dictionary
    explains nothing.
    """
    rows = subject.model.get_input_embeddings().get_parameter("weight")
    kept = rows.data[7].clone()
    # all that the dictionary knows
    direction = torch.nn.functional.normalize(rows.data[7:8], dim=1)
    alone = SparseCoder(
        SITE, SITE, Weights(direction, torch.zeros(1), direction, torch.zeros(D_MODEL)), LargestK(1)
    )
    rows.data[7] *= 3000
    passes: list[int] = []
    run = Subject.run

    def counting(self: Subject, *given, **asked):
        passes.append(bool(asked.get("logits")))
        return run(self, *given, **asked)

    try:
        with monkeypatch.context() as during:
            during.setattr(Subject, "run", counting)
            found = check_dictionary(subject, alone, batches, rng)
        none = check_dictionary(subject, alone, batches, rng, massive=0.0)
        away = check_dictionary(subject, alone, batches, rng, left_out=frozenset({7}))
    finally:
        rows.data[7] = kept
    number = sum(int((tokens[:, 1:] == 7).sum()) for tokens in batches)
    assert (found.massive, none.massive, away.massive) == (number, 0, 0)
    assert sum(passes) == len(batches) * (4 + 3)  # without massive tokens, no mean is put in
    assert (found.tokens, away.tokens) == (8 * 19 - 5, 8 * 19 - 5 - number)
    assert found.fvu_normal.value == pytest.approx(away.fvu.value, abs=1e-6)
    assert found.fvu.value < 0.1 < 0.8 < found.fvu_normal.value
    assert none.fvu.value == none.fvu_normal.value == pytest.approx(found.fvu.value)
    assert none.recovered.value == pytest.approx(none.recovered_normal.value)
    assert compare_with_card(found, Card(fvu_normal=found.fvu_normal.value))[0].agrees


def test_neurons_are_spliced_from_one_site_to_another(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    found = check_dictionary(subject, Neurons.of(subject, 0), batches, rng)
    assert found.fvu.value == pytest.approx(0, abs=1e-9)
    assert found.spliced.value == pytest.approx(found.clean.value, abs=1e-5)


def test_a_dictionary_of_another_site_does_not_fit(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    far = SparseCoder(SITE, SITE, Weights(10 * torch.eye(D_MODEL), *_rest()), LargestK(4))
    assert not check_dictionary(subject, far, batches, rng).fits


def _rest() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.zeros(D_MODEL), torch.eye(D_MODEL), torch.zeros(D_MODEL)


def test_a_wrong_width_is_refused(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    weights = Weights(torch.ones(4, 3), torch.zeros(4), torch.ones(4, 3), torch.zeros(3))
    with pytest.raises(
        Mismatch,
        match=(
            r"reads vectors of 3 numbers \(its decoder directions are 4 x 3\).*resid_post\.1 holds"
            r" vectors of 16"
        ),
    ):
        check_dictionary(subject, SparseCoder(SITE, SITE, weights, LargestK(2)), batches, rng)


def test_no_text_is_said(subject: Subject, rng: np.random.Generator) -> None:
    with pytest.raises(BadInput, match="no text to check"):
        check_dictionary(subject, perfect(), [torch.zeros(2, 1, dtype=torch.int64)], rng)


def test_a_card_agrees_within_the_interval_or_a_tenth(
    subject: Subject, batches: list, rng: np.random.Generator
) -> None:
    found: DictionaryCheck = check_dictionary(subject, perfect(), batches, rng)
    compared = {
        item.name: item.agrees
        for item in compare_with_card(found, Card(l0=15.0, fvu=0.3, cross_entropy_recovered=0.99))
    }
    assert compared == {"fvu": False, "l0": True, "cross_entropy_recovered": True}
    assert compare_with_card(found, Card()) == ()


def test_a_ratios_interval_holds_its_value_and_narrows_with_sequences(
    rng: np.random.Generator,
) -> None:
    def width(sequences: int) -> float:
        estimate = ratio_with_interval(rng.normal(3, 1, sequences), np.full(sequences, 2.0), rng)
        assert estimate.low < estimate.value < estimate.high
        return estimate.high - estimate.low

    assert width(1000) < 0.5 * width(50)
    assert np.isnan(ratio_with_interval(np.ones(3), np.zeros(3), rng).value)


def test_a_trained_dictionary_of_a_real_model_recovers_most_of_its_loss(
    data_folder: Path, rng: np.random.Generator
) -> None:
    import json

    from gloss.decompose.topk import TopK

    subject = Subject.load(data_folder / "tinystories-656k")
    stories = json.loads(
        (data_folder / "tinystories-text" / "tinystories_1000.json").read_text("utf-8")
    )
    kept = [
        ids[:127] for ids in map(subject.encode, filter(str.isascii, stories)) if len(ids) >= 127
    ][:320]
    rows = torch.tensor([[subject.start_token, *ids] for ids in kept])
    site = Site("resid_post", 0)
    vectors = torch.cat(
        [
            subject.run(part, read=(site,)).activations[site][:, 1:].flatten(0, 1)
            for part in rows[32:].split(32)
        ]
    )
    mixed = (vectors[torch.from_numpy(rng.permutation(len(vectors)))] for _ in range(100))
    dictionary = TopK(512, 16, 150_000, 1024, learning_rate=5e-3, dead_after_tokens=30_000).fit(
        mixed, site, rng
    )
    found = check_dictionary(subject, dictionary, [rows[:32]], rng)
    assert found.recovered.low >= 0.8
    assert found.fvu.high <= 0.4
    assert 0 < found.l0.value <= 16
