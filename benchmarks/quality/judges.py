"""Experiment 3: judges with known errors and biases.

What asking them in packs and stopping early costs and spares.
"""

from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from benchmarks.quality.rows import Row
from gloss.collect.text_files import standard_library_files
from gloss.models.chat_models.prices import prompt_token_count
from gloss.models.planted.judges import clean_judge, copying_judge, leaning_judge, planted_verdicts
from gloss.models.pretrained.tokenizer import byte_level_bytes
from gloss.records import Estimate, Examples, Explanation, FeatureActivations, FeatureId, Verdict
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Random
from gloss.score.detection import Detection
from gloss.score.fuzzing import Fuzzing
from gloss.score.judge.calibration_items import CalibrationCounts
from gloss.score.judge.error_correction import corrected_estimates
from gloss.score.judge.position_bias import BIASES, is_noticeable, measure_position_bias
from gloss.score.judge.questions import MOST_CONTEXTS, count_next_questions
from gloss.score.judge.verdict_metrics import VerdictCounts
from gloss.statistics.intervals import estimate_from_draws, wilson_interval
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

EXPERIMENT = "3 judges"
JUDGES = ((0.9, 0.1), (0.8, 0.2), (0.7, 0.3))
TRUTH = (
    # balanced accuracy of an explanation that covers so much of the firing contexts, and as little
    # of the inactive ones
    0.965
)
SIDE = 200  # contexts of either kind in a feature that is asked about in rounds
PACK = MOST_CONTEXTS


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Correction, biases, packing and stopping, on judges that answer at known rates."""
    scale = 0.1 if small else 1.0
    rows = [row for rates in JUDGES for row in correction(*rates, int(4000 * scale), rng)]
    rows += packing(int(3000 * scale), rng)
    rows += suspicion(int(300 * scale), rng)
    rows.append(tokens(rng))
    for name, divided in (
        ("errors divided at random", None),
        ("errors as many on either side", 0.5),
    ):
        rows += stopping(name, divided, int(3000 * scale), rng)
    return rows


def mean_of(values: list[float]) -> Estimate:
    """The mean with a normal interval."""
    mean, reach = float(np.mean(values)), 1.96 * float(np.std(values)) / len(values) ** 0.5
    return Estimate(mean, mean - reach, mean + reach)


def within(share: Estimate, low: float, high: float) -> bool:
    """Whether a share lies between these as far as its interval can tell."""
    return share.low <= high and share.high >= low


def correction(
    sensitivity: float, false_positive: float, trials: int, rng: np.random.Generator
) -> Iterator[Row]:
    """Corrected balanced accuracy of 100 + 100 contexts by 200 + 200 calibration_items."""

    def said(number: int, rate: float) -> VerdictCounts:
        yes = int(rng.binomial(number, rate))
        return VerdictCounts(yes, number - yes, 0)

    values: list[float] = []
    held = 0
    for _ in range(trials):
        firing, inactive = (
            said(100, sensitivity * t + false_positive * (1 - t)) for t in (TRUTH, 1 - TRUTH)
        )
        calibration_items = CalibrationCounts(said(200, sensitivity), said(200, false_positive))
        found = corrected_estimates(firing, inactive, calibration_items, 0.01, rng)[
            "balanced_accuracy_corrected"
        ]
        values.append(found.value)
        held += found.low <= TRUTH <= found.high
    mean, covered = mean_of(values), wilson_interval(held, trials)
    judge = f"{EXPERIMENT}: sensitivity {sensitivity}, false positives {false_positive}"
    yield Row.of(
        judge,
        f"corrected to {TRUTH} within .01 on average",
        mean,
        within(mean, TRUTH - 0.01, TRUTH + 0.01),
    )
    yield Row.of(judge, "intervals cover 93 to 97 %", covered, within(covered, 0.93, 0.97))


def packing(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    """A judge who leans to yes at the start of a request: one context a request, packs in random
    order, firing ones first.
    """

    def accuracy(**asked: object) -> Estimate:
        found = (planted_verdicts(leaning_judge, rng, **asked) for _ in range(trials))  # pyright: ignore[reportArgumentType]
        return mean_of([balanced(one) for one in found])

    alone, packed, sorted_ = (
        accuracy(size=1),
        accuracy(size=PACK),
        accuracy(size=PACK, shuffled=False),
    )
    yield Row.of(
        f"{EXPERIMENT}: leaning judge, one context a request",
        "balanced accuracy .815",
        alone,
        abs(alone.value - 0.815) < 0.01,
    )
    gap = Estimate(packed.value - alone.value, packed.low - alone.high, packed.high - alone.low)
    yield Row.of(
        f"{EXPERIMENT}: the same, {PACK} in random order",
        "no different",
        gap,
        gap.low <= 0 <= gap.high,
    )
    yield Row.of(
        f"{EXPERIMENT}: the same, firing contexts first",
        "flattered by .08",
        sorted_,
        sorted_.low > alone.high + 0.05,
    )


def balanced(said: list[Verdict]) -> float:
    sides = [
        [verdict.answer is truth for verdict in said if verdict.truth is truth]
        for truth in (True, False)
    ]
    return float(np.mean([np.mean(side) for side in sides]))


def suspicion(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    """How often a bias is noticed over 40 scores of 100 contexts."""
    for judge, bias in (
        (leaning_judge, "yes_by_position"),
        (copying_judge, "copying"),
        (clean_judge, ""),
    ):
        seen = [
            {
                name
                for name, one in measure_position_bias(
                    planted_verdicts(judge, rng, covered=rng.random()) for _ in range(40)
                ).items()
                if is_noticeable(one)
            }
            for _ in range(trials)
        ]
        for name in [bias] if bias else BIASES:
            share = wilson_interval(sum(name in found for found in seen), trials)
            known = "noticed in 95 % or more" if bias else "suspected in 5 % or less"
            passed = share.value >= 0.95 if bias else share.low <= 0.05
            yield Row.of(f"{EXPERIMENT}: {judge.__name__} judge, {name}", known, share, passed)


def tokens(rng: np.random.Generator) -> Row:
    """Prompt tokens that detection and fuzzing of one feature take: 100 contexts of 32 tokens each,
    half of them firing.

    The text is the standard library's own, cut by a tokenizer of 16,000 pieces that is trained on
    it here.
    """
    texts = [path.read_text("utf-8", errors="replace") for path in standard_library_files()[:400]]
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), Decoder()
    tokenizer.train_from_iterator(
        texts,
        BpeTrainer(vocab_size=16_000, show_progress=False, initial_alphabet=ByteLevel.alphabet()),
    )
    evidence = evidence_of(tokenizer, texts, rng)
    explanation = Explanation(
        evidence.examples.feature,
        "the word `return` where a function gives its result back",
        "known",
    )
    asked = 0
    for scorer in (Detection(), Fuzzing()):
        prompts = next(scorer.score(explanation, evidence, rng))
        asked += sum(
            prompt_token_count(prompt, lambda text: len(tokenizer.encode(text).ids))
            for prompt in prompts
        )
    return Row.exact(
        f"{EXPERIMENT}: prompt tokens, 100 contexts by detection and 100 by fuzzing",
        "14,000 at most",
        asked,
        asked <= 14_000,
    )


def evidence_of(tokenizer: Tokenizer, texts: list[str], rng: np.random.Generator) -> Evidence:
    """A feature that fires on the word `return`."""
    cut = [np.array(encoding.ids, np.int32) for encoding in tokenizer.encode_batch(texts)]
    cut = [piece for piece in cut if len(piece)]
    vocabulary = Vocabulary(
        tuple(
            byte_level_bytes(str(tokenizer.id_to_token(i)))
            for i in range(tokenizer.get_vocab_size())
        )
    )
    ids, offsets = np.concatenate(cut), np.cumsum([0, *map(len, cut)])
    hashes = np.where(np.arange(len(cut)) % 2, np.uint64(2**63), np.uint64(0))
    corpus = Corpus(
        ids, offsets, np.arange(len(cut)), hashes, tuple(map(str, range(len(cut)))), vocabulary
    )
    at = (
        np.flatnonzero(ids == vocabulary.pieces.index(b"return"))
        if b"return" in vocabulary.pieces
        else np.empty(0, np.int64)
    )
    at = np.union1d(at, np.flatnonzero(ids == vocabulary.pieces.index(b" return")))
    fires = FeatureActivations(at, np.ones(len(at), np.float32))
    examples = gather_examples(
        FeatureId("known", 0), fires, corpus, Random(), SamplingSettings(), rng
    )
    assert isinstance(examples, Examples)
    return Evidence(examples, corpus, fires)


def stopping(
    name: str, divided: float | None, trials: int, rng: np.random.Generator
) -> Iterator[Row]:
    """Requests at a precision of .05 against asking about everything, for accuracies spread from .5
    to 1.
    """
    shares: list[float] = []
    held = [0, 0]
    for _ in range(trials):
        errors = 2 * (1 - rng.uniform(0.5, 1))
        part = rng.random() if divided is None else divided
        rates = 1 - errors * part, 1 - errors * (1 - part)
        for row, precision in enumerate((0.05, 0.0)):
            share, covers = one_feature(rates, precision, rng)
            held[row] += covers
            shares += [] if row else [share]
    fewer, early, whole = (
        mean_of([1 - share for share in shares]),
        wilson_interval(held[0], trials),
        wilson_interval(held[1], trials),
    )
    known, least = (
        ("40 % or more", 0.4)
        if divided is None
        else ("25 % or more: the worst case, short of 40 %", 0.25)
    )
    yield Row.of(
        f"{EXPERIMENT}: requests spared at .05, {name}", known, fewer, fewer.value >= least
    )
    told = f"intervals cover as if all were asked, {whole.value:.3f}"
    yield Row.of(f"{EXPERIMENT}: the same", told, early, within(early, whole.low, whole.high))


def one_feature(
    rates: tuple[float, float], precision: float, rng: np.random.Generator
) -> tuple[float, bool]:
    """The share of the requests that were asked, and whether the interval holds the truth."""
    truths = rng.permutation(np.arange(2 * SIDE) % 2 == 0)
    right = rng.random(2 * SIDE) < np.where(truths, *rates)
    every = [
        Verdict(row, bool(t), bool(t == r))
        for row, (t, r) in enumerate(zip(truths, right, strict=True))
    ]
    asked, requests = 0, 2 * SIDE // PACK
    while number := count_next_questions(
        every[: asked * PACK], asked, requests - asked, PACK, precision
    ):
        asked += number
    said = every[: asked * PACK]
    sides = [
        [verdict.answer is truth for verdict in said if verdict.truth is truth]
        for truth in (True, False)
    ]
    counts = [VerdictCounts(sum(side), len(side) - sum(side), 0) for side in sides]
    draws = sum(count.draws(count.yes, rng) for count in counts) / 2
    found = estimate_from_draws(balanced(said), np.asarray(draws))
    return asked / requests, found.low <= sum(rates) / 2 <= found.high
