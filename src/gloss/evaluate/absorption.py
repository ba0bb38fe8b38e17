"""Whether a feature is silent where a more special one says the same: of first letters of words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.errors import BadInput, require_at_least
from gloss.evaluate.measure import Aims, Material
from gloss.models.dictionary import Dictionary, Scaled
from gloss.models.subject import Subject
from gloss.records import Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import student_interval
from gloss.statistics.logistic import LinearProbe, fit_lasso, fit_logistic

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORD = re.compile(r" [A-Za-z]{2,}")  # tokens that are a word behind a space
LINE = "{word} has the first letter: {letter}\n"  # of a prompt's examples
ROWS = 16  # prompts in one forward pass
TEST_SHARE = 5  # one of so many words is a test's
SPARSITY = 0.01  # of the regression whose largest weights are tried as a letter's features
PROBE_PENALTY = 100.0
# SAEBench's thresholds
LEAST_COSINE = 0.1  # with the probe, of features that may absorb
LEAST_COSINE_FULL = 0.025  # of the one that absorbs all of it
LEAST_SHARE = 0.4  # of the vector's projection on the probe that these must carry
MOST_ABSORBING = 3  # features that may do so together


@dataclass(frozen=True)
class FirstLetterAbsorption:
    """The share of a letter that its features do not carry in words where a probe finds it, and
    other features do (Chanin et al., 2409.14507; SAEBench's "absorption").

    The vectors are those of words in a prompt that asks for first letters. A letter's features are
    the k with the largest weights of a sparse regression, k as long as one more raises F1 by
    `f1_jump`. `absorption_fraction` is the mean over words of what up to three other features carry
    of what both carry; `full_absorption` the share of words in which the letter's features are
    silent and one other carries two fifths of the projection.
    """

    needs: ClassVar[Needs] = Needs()
    aims: ClassVar[Aims] = Aims(less=("absorption_fraction", "full_absorption"))

    words: int = 2000  # tokens of the vocabulary that are a word, drawn
    examples: int = 10  # lines of the prompt before the word
    most_features: int = 10  # k
    f1_jump: float = 0.03
    least_f1: float = 0.6  # of a letter's probe, for the letter to count
    least_letters: int = 20  # that count, for the measure to say anything

    def __post_init__(self) -> None:
        require_at_least(1, self, "most_features")
        require_at_least(2, self, "least_letters")
        require_at_least(100, self, "words")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Means over letters with Student's interval over letters; each letter's are in details.

        Raises BadInput where the vocabulary has too few words, and for a dictionary that writes
        another site than it reads.
        """
        if dictionary.reads != dictionary.writes:
            raise BadInput(
                f"this dictionary reads {dictionary.reads} and writes {dictionary.writes}, and"
                " absorption compares what features write with the vector that they read; give a"
                " dictionary that writes the site that it reads"
            )
        subject = material.subject
        tokens, names = draw_words(subject, self.words, rng)
        prompt = letters_prompt(subject, names, self.examples, rng)
        vectors = vectors_of_words(subject, dictionary, prompt, tokens)
        letters = np.array([name.strip()[0].lower() for name in names])
        train = rng.permutation(len(letters)) >= len(letters) // TEST_SHARE
        found = list(self.of_vectors(dictionary, vectors, letters, train))
        counted = [each for each in found if each.probe_f1 > self.least_f1 and len(each.fractions)]
        if len(counted) < self.least_letters:
            reason = (
                f"a probe finds {len(counted)} letters with F1 above {self.least_f1:g}, and"
                f" {self.least_letters} are wanted: this subject hardly knows first letters here"
            )
            return Evaluation("absorption", (), (EvaluationFailure("", reason),))
        return Evaluation(
            "absorption", tuple(letter_means(counted)), details=letter_details(found, counted)
        )

    def of_vectors(
        self,
        dictionary: Dictionary,
        vectors: Float32[ndarray, "word d"],
        letters: ndarray,
        train: Bool[ndarray, " word"],
    ) -> Iterator["LetterAbsorption"]:
        """Each letter that is in both parts, from the vectors of words."""
        from scipy.sparse import csr_array  # slow to import, and few commands ask

        device = dictionary.decoder_directions.device
        with torch.no_grad():
            x = torch.from_numpy(vectors).to(device)
            codes = dictionary.encode(x)
            amounts = codes.values.float()
            if isinstance(dictionary, Scaled):  # directions count in the subject's units
                amounts = amounts * dictionary.output_scale(x)
        rows, slots = np.nonzero(codes.used.cpu().numpy())
        indices, values = codes.indices.cpu().numpy(), amounts.cpu().numpy()
        shape = (len(vectors), dictionary.width)
        active = csr_array((values[rows, slots], (rows, indices[rows, slots])), shape=shape)
        directions = dictionary.decoder_directions.float().cpu().numpy()
        for letter in sorted(set(letters[train]) & set(letters[~train])):
            having = letters == letter
            probe = fit_logistic(vectors[train], having[train], PROBE_PENALTY, balanced=True)
            features = self._features_of(active, having, train)
            words = np.flatnonzero(~train & having & (probe.margins(vectors) > 0))
            fractions, full = absorbed(probe, features, active[words], vectors[words], directions)
            f1 = f1_score(probe.margins(vectors[~train]) > 0, having[~train])
            yield LetterAbsorption(str(letter), f1, features, fractions, full)

    def _features_of(
        self, active: "csr_array", having: Bool[ndarray, " word"], train: Bool[ndarray, " word"]
    ) -> Int64[ndarray, " k"]:
        """The features that tell the letter, as many as are worth it on test words."""
        weights = fit_lasso(active[train], having[train], SPARSITY)
        best = np.argsort(-weights, kind="stable")[: self.most_features]
        reached, k = -1.0, 1
        for number in range(1, len(best) + 1):
            x = np.asarray(active[:, best[:number]].todense())
            probe = fit_logistic(x[train], having[train], balanced=True)
            f1 = f1_score(
                probe.correct(x[~train], having[~train]) == having[~train], having[~train]
            )
            if number > 1 and f1 <= reached + self.f1_jump:
                break
            reached, k = f1, number
        return best[:k]


@dataclass(frozen=True)
class LetterAbsorption:
    """What was measured of one letter, of the test words in which its probe finds it."""

    letter: str
    probe_f1: float
    features: Int64[ndarray, " k"]
    fractions: Float64[ndarray, " word"]
    full: Bool[ndarray, " word"]


def draw_words(
    subject: Subject, number: int, rng: np.random.Generator
) -> tuple[Int64[ndarray, " word"], list[str]]:
    """Tokens that are words behind a space, drawn; and what they say."""
    strings = subject.vocabulary().strings
    every = [token for token, text in enumerate(strings) if WORD.fullmatch(text)]
    if len(every) < 100:
        raise BadInput(
            f"{len(every)} tokens of this model are a word behind a space, and 100 are wanted; its"
            " vocabulary is too small for absorption"
        )
    drawn = rng.permutation(np.array(every))[:number]
    return drawn, [strings[token] for token in drawn]


def letters_prompt(
    subject: Subject, names: Sequence[str], examples: int, rng: np.random.Generator
) -> list[int]:
    """What stands before every word: examples with other words, behind the start token."""
    chosen = rng.choice(len(names), min(examples, len(names)), replace=False)
    words = [names[int(place)].strip() for place in chosen]
    lines = (LINE.format(word=word, letter=word[0].upper()) for word in words)
    front = [] if subject.start_token is None else [subject.start_token]
    return [*front, *subject.encode("".join(lines))]


@torch.no_grad()
def vectors_of_words(
    subject: Subject,
    dictionary: Dictionary,
    prompt: Sequence[int],
    tokens: Int64[ndarray, " word"],
) -> Float32[ndarray, "word d"]:
    """What the dictionary reads at each word, behind the same prompt."""
    site, found = dictionary.reads, list[ndarray]()
    for part in torch.from_numpy(tokens).split(ROWS):
        rows = torch.tensor(prompt).repeat(len(part), 1)
        batch = torch.cat([rows, part[:, None]], dim=1)
        vectors = subject.run(batch, read=(site,)).activations[site][:, -1]
        found.append(vectors.float().cpu().numpy())
    return np.concatenate(found)


def f1_score(said: Bool[ndarray, " word"], truth: Bool[ndarray, " word"]) -> float:
    """2 × right / (said + true); 0 where nothing is either.

    >>> f1_score(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    both = int((said & truth).sum())
    return 2 * both / max(1, int(said.sum()) + int(truth.sum()))


def absorbed(
    probe: LinearProbe,
    features: Int64[ndarray, " k"],
    active: "csr_array",
    vectors: Float32[ndarray, "word d"],
    directions: Float32[ndarray, "feature d"],
) -> tuple[Float64[ndarray, " word"], Bool[ndarray, " word"]]:
    """Of each word the fraction that other features carry of its projection on the probe, and
    whether one carries it alone while the letter's own are silent.
    """
    unit = probe.weights / np.linalg.norm(probe.weights)
    along = directions @ unit
    cosines = along / np.maximum(np.linalg.norm(directions, axis=1), 1e-12)
    fractions, full = np.zeros(len(vectors)), np.zeros(len(vectors), dtype=bool)
    for word, whole in enumerate(vectors @ unit):
        row = slice(active.indptr[word], active.indptr[word + 1])
        fired, codes = active.indices[row], active.data[row]
        carried, own = codes * along[fired], np.isin(fired, features)
        if whole <= 0 or len(fired) == 0:
            continue
        main = float(carried[own].sum())
        others = (carried > 0) & ~own & (cosines[fired] >= LEAST_COSINE)
        rest = float(np.sort(carried[others])[-MOST_ABSORBING:].sum())
        if main < whole and rest >= LEAST_SHARE * whole:
            taken = min(rest, whole - main)
            fractions[word] = 1.0 if main <= 0 else taken / (taken + main)
        top = int(np.argmax(carried))
        full[word] = (
            not own.any()
            and cosines[fired[top]] >= LEAST_COSINE_FULL
            and carried[top] >= LEAST_SHARE * whole
        )
    return fractions, full


def letter_means(found: Sequence[LetterAbsorption]) -> Iterator[EvaluationRow]:
    """Means over the letters that count."""
    words = sum(len(each.fractions) for each in found)
    for name, values in (
        ("absorption_fraction", [each.fractions.mean() for each in found]),
        ("full_absorption", [each.full.mean() for each in found]),
        ("split_features", [len(each.features) for each in found]),
        ("probe_f1", [each.probe_f1 for each in found]),
    ):
        estimate = student_interval(np.array(values, dtype=np.float64))
        yield EvaluationRow(name, estimate, len(found), "letters", note=f"{words:,} words")


def letter_details(
    found: Sequence[LetterAbsorption], counted: Sequence[LetterAbsorption]
) -> Mapping[str, Any]:
    """Each letter's numbers, as plain values."""
    return {
        each.letter: {
            "probe_f1": each.probe_f1,
            "features": each.features.tolist(),
            "words": len(each.fractions),
            "fraction": float(each.fractions.mean()) if len(each.fractions) else None,
            "full": int(each.full.sum()),
            "counts": any(each is one for one in counted),
        }
        for each in found
    }
