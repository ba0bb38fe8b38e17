"""A transformer written by hand, without training: features that read, features that write, and
features that do both.

What each of its features does is known by construction, so that scores of inputs and scores of
outputs can be held against the truth. Lindner et al. (2023) compile whole programs in this spirit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.planted.words import fresh_words
from gloss.models.sites import Site
from gloss.models.sparse_codes import Positive
from gloss.models.subject import Subject
from gloss.records import FeatureActivations
from gloss.store.corpus import Corpus

START = "<start>"
# words; a rare one stands in the text about twice, so that what it does cannot be learnt from
# seeing it
COMMON, RARE = 400, 5000
WORDS_EACH = 4  # that trigger a feature by rule, and that a feature promotes
RARE_SHARE = 0.03  # of the rare words that trigger a feature at random
BACKGROUND = 8  # dimensions by which the clean distributions differ
# directions that promote rare words and belong to no feature: what a random direction mostly says
OTHERS = 128
LENGTH = 8.0  # of every embedding: with it the norms divide by one number, whatever the token
FIRING = 0.15  # activation of a feature at its trigger
LOGIT = 8.0  # that a promoted token reads from one unit of its feature's direction
GATE = 6.0  # of a neuron at its trigger, where a SiLU is all but linear
SITE = Site("resid_post", 0)


class CompiledSide(StrEnum):
    """What a compiled feature has to do with."""

    INPUT = "input"  # a rule says where it fires, and nothing reads it
    OUTPUT = "output"  # it promotes tokens, and fires at words chosen at random
    BOTH = "both"


@dataclass(frozen=True, eq=False)
class CompiledSubject:
    """The subject, its dictionary of one feature a direction, and what each of them is."""

    subject: Subject
    dictionary: SparseCoder
    sides: tuple[CompiledSide, ...]
    triggers: tuple[tuple[int, ...], ...]  # tokens at which each feature fires
    # tokens that each feature makes likelier; none for one that only reads
    promoted: tuple[tuple[int, ...], ...]

    def random_text(self, tokens: int, rng: np.random.Generator) -> Int64[ndarray, " token"]:
        """Random text: two in three words are common, by Zipf's law.

        Of the rare ones all come equally often.
        """
        common = 1 / np.arange(3, COMMON + 3)
        chances = np.concatenate(
            [[0.0], common / common.sum() * 2 / 3, np.full(RARE, 1 / (3 * RARE))]
        )
        return rng.choice(len(chances), tokens, p=chances / chances.sum())

    def activations(self, corpus: Corpus) -> Iterator[FeatureActivations]:
        """Where each feature fires in a corpus, and how strongly, by running the subject over its
        sequences.
        """
        codes: list[ndarray] = []
        for begin, end in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True):
            tokens = torch.tensor([[0, *corpus.tokens[begin:end].tolist()]])
            found = self.dictionary.encode(
                self.subject.run(tokens, read=(SITE,)).activations[SITE][0, 1:]
            )
            codes.append(found.dense(self.dictionary.width).numpy())
        whole = np.concatenate(codes)
        for column in whole.T:
            positions = np.flatnonzero(column)
            yield FeatureActivations(positions, column[positions].astype(np.float32))


def compile_subject(rng: np.random.Generator, each: int = 6) -> CompiledSubject:
    """A Llama of one layer with so many features of each side, in random order."""
    sides = tuple(
        CompiledSide(side)
        for side in rng.permutation([side for side in CompiledSide for _ in range(each)])
    )
    # the commonest words trigger nothing
    common = iter((rng.permutation(COMMON - 20) + 21).tolist())
    triggers: list[tuple[int, ...]] = []
    promoted: list[tuple[int, ...]] = []
    for side in sides:
        by_chance = rng.choice(RARE, round(RARE_SHARE * RARE), replace=False) + 1 + COMMON
        triggers.append(
            tuple(by_chance.tolist() if side is CompiledSide.OUTPUT else islice(common, WORDS_EACH))
        )
        promoted.append(() if side is CompiledSide.INPUT else tuple(islice(common, WORDS_EACH)))
    width = BACKGROUND + 2 * len(sides) + OTHERS + 1
    width += -width % 16
    subject = blank_subject(width, len(sides))
    write_compiled_weights(subject, triggers, promoted, rng)
    decoder_directions = torch.eye(width)[BACKGROUND + len(sides) : BACKGROUND + 2 * len(sides)]
    weights = Weights(
        decoder_directions,
        torch.full((len(sides),), -FIRING / 4),
        decoder_directions,
        torch.zeros(width),
    )
    return CompiledSubject(
        subject,
        SparseCoder(SITE, SITE, weights, Positive()),
        sides,
        tuple(triggers),
        tuple(promoted),
    )


def blank_subject(width: int, neurons: int) -> Subject:
    """The architecture, its weights all 0 but for norms, and a tokenizer of whole words."""
    names = [START, *islice((f" {word}" for word in fresh_words()), COMMON + RARE)]
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = LlamaConfig(
        vocab_size=len(names),
        hidden_size=width,
        intermediate_size=neurons,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(settings)
    for parameter in model.parameters():
        parameter.data.fill_(1.0 if parameter.ndim == 1 else 0.0)
    tokenizer = Tokenizer(
        models.WordLevel({name: token for token, name in enumerate(names)}, unk_token=START)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    return Subject(model, tokenizer, start_token=0)


def write_compiled_weights(
    subject: Subject,
    triggers: list[tuple[int, ...]],
    promoted: list[tuple[int, ...]],
    rng: np.random.Generator,
) -> None:
    """Write the weights.

    The stream holds, in this order: a background that the unembedding reads a little; a mark for
    each feature, 1 in the embedding of the words that trigger it; each feature's own direction,
    where its neuron writes what it finds; the directions of no feature; filling up to the length.
    """
    features = len(triggers)
    embedding = weight_matrix(subject, "model.embed_tokens")
    unembedding = weight_matrix(subject, "lm_head")
    embedding[:, :BACKGROUND] = 0.5 * gaussian_matrix(rng, len(embedding), BACKGROUND)
    unembedding[:, :BACKGROUND] = 0.15 * gaussian_matrix(rng, len(embedding), BACKGROUND)
    for feature, (words, tokens) in enumerate(zip(triggers, promoted, strict=True)):
        embedding[list(words), BACKGROUND + feature] = 1.0
        unembedding[list(tokens), BACKGROUND + features + feature] = LOGIT
    for other in range(OTHERS):
        words = rng.choice(RARE, WORDS_EACH, replace=False) + 1 + COMMON
        unembedding[words.tolist(), BACKGROUND + 2 * features + other] = LOGIT
    embedding[:, -1] = (LENGTH**2 - embedding.square().sum(1)).sqrt()
    scale = LENGTH / embedding.shape[1] ** 0.5  # what the norm divides by
    for feature in range(features):
        mark, own = BACKGROUND + feature, BACKGROUND + features + feature
        weight_matrix(subject, "model.layers.0.mlp.gate_proj")[feature, mark] = GATE * scale
        weight_matrix(subject, "model.layers.0.mlp.up_proj")[feature, mark] = GATE * scale
        weight_matrix(subject, "model.layers.0.mlp.down_proj")[own, feature] = (
            1.25 * FIRING / GATE**2
        )


def weight_matrix(subject: Subject, module: str) -> Float[Tensor, "out in"]:
    """A matrix of the model, to be written into."""
    return subject.model.get_submodule(module).get_parameter("weight").data


def gaussian_matrix(
    rng: np.random.Generator, rows: int, columns: int
) -> Float[Tensor, "row column"]:
    return torch.from_numpy(rng.standard_normal((rows, columns)).astype(np.float32))
