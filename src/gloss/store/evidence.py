"""Everything that an explanation of one feature may be judged by, and the same of the train split
alone.

The train split is taken for a whole corpus and split again, so that explanations can be chosen
without what is held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from gloss.records import Contexts, Effect, Examples, FeatureActivations, Neighbour, Split
from gloss.store.corpus import Corpus
from gloss.store.feature_facts import feature_facts

# of a feature that never fires
NO_ACTIVATIONS = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))


@runtime_checkable
class NewTextReader(Protocol):
    """Runs the subject over text that the corpus does not hold, in the way in which the corpus was
    collected.
    """

    def encode(self, text: str) -> Int32[ndarray, " token"]:
        """The text's tokens, cut off where a sequence of the corpus would end."""
        ...

    def read(
        self, sequences: Sequence[Int32[ndarray, " _"]], feature: int
    ) -> list[Float32[ndarray, " _"]]:
        """The feature's activation at every token of each sequence, each read by itself.

        None may be empty.
        """
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature's sampled contexts, and the whole corpus with its true activations everywhere in
    it.
    """

    examples: Examples
    corpus: Corpus
    activations: FeatureActivations
    # nearest first; for scorers that need them
    neighbours: tuple[Neighbour, ...] = ()
    reader: NewTextReader | None = None  # for scorers that need new texts
    # after held-out contexts, controls among them; for scorers that need them
    effects: tuple[Effect, ...] = ()
    # what the explainer says of other features, drawn once for all; for scorers that need it
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TrainCorpus:
    """The documents of the train split alone, and where each of its tokens has gone."""

    corpus: Corpus
    in_train: Bool[ndarray, " token"]  # of the tokens of the whole corpus
    new_indices: Int64[ndarray, " token"]  # the new index of each token of the train split
    documents: Int64[ndarray, " document"]  # the new number of each document of the train split
    sequences: Bool[ndarray, " sequence"]  # whether each sequence is in the train split

    def activations(self, activations: FeatureActivations) -> FeatureActivations:
        """Those in the train split."""
        inside = self.in_train[activations.positions]
        known = activations.known
        return FeatureActivations(
            self.new_indices[activations.positions[inside]],
            activations.values[inside],
            None if known is None else known.of_part(self.sequences, Split.TRAIN),
        )

    def contexts(self, contexts: Contexts) -> Contexts:
        """Contexts of the train split, where they are now."""
        assert contexts.sequence_positions is not None
        # of their sequences; a context may begin in front of its own
        firsts = contexts.starts - contexts.sequence_positions
        documents, groups = self.documents[contexts.documents], self.documents[contexts.units]
        return replace(
            contexts,
            starts=self.new_indices[firsts] + contexts.sequence_positions,
            documents=documents,
            groups=groups,
        )


def train_evidence(evidence: Evidence) -> Evidence:
    """The evidence as if the train split were all that there is: nothing that is held out of the
    whole is anywhere in it.
    """
    within, examples = train_corpus(evidence.corpus), evidence.examples.for_explainer()
    shown = replace(
        examples,
        train=within.contexts(examples.train),
        inactive_train=within.contexts(examples.inactive_train),
    )
    neighbours = tuple(
        replace(near, activations=within.activations(near.activations))
        for near in evidence.neighbours
    )
    activations = within.activations(evidence.activations)
    # of interventions after train contexts, which is what is to be judged there
    effects = shown.effects
    return Evidence(shown, within.corpus, activations, neighbours, evidence.reader, effects)


def validation_evidence(evidence: Evidence) -> Evidence:
    """What an explainer may choose its explanation by: the train split's evidence, split again.

    The half that is held out there is what explanations are chosen on.
    """
    return halve_evidence(train_evidence(evidence))


def halve_evidence(whole: Evidence) -> Evidence:
    """The evidence of a train split, whose documents are split in two by their hashes."""
    corpus, activations = whole.corpus, whole.activations
    firing, inactive = whole.examples.train, whole.examples.inactive_train
    active_in_train, inactive_in_train = (
        corpus.documents_in_train[each.documents] for each in (firing, inactive)
    )
    chosen = Examples(
        whole.examples.feature,
        train=firing[active_in_train],
        held_out=firing[~active_in_train],
        inactive_train=inactive[inactive_in_train],
        inactive_held_out=inactive[~inactive_in_train],
        output_tokens=whole.examples.output_tokens,
        **feature_facts(corpus, activations, firing.tokens.shape[1])._asdict(),
    )
    return replace(whole, examples=chosen)


def judged_evidence(evidence: Evidence) -> Evidence:
    """The evidence of a train split with all of it to be judged, as if it were held out."""
    return replace(exchange_splits(evidence), corpus=all_held_out(evidence.corpus))


def exchange_splits(evidence: Evidence) -> Evidence:
    """The evidence with the contexts of both splits exchanged, for a judge of contexts that an
    explainer has seen.
    """
    e = evidence.examples
    turned = replace(
        e,
        train=e.held_out,
        held_out=e.train,
        inactive_train=e.inactive_held_out,
        inactive_held_out=e.inactive_train,
        share_train=e.share_held_out,
        share_held_out=e.share_train,
    )
    return replace(evidence, examples=turned)


@lru_cache(maxsize=2)
def all_held_out(corpus: Corpus) -> Corpus:
    """The corpus with no document in its train split."""
    return replace(corpus, hashes=np.full_like(corpus.hashes, np.iinfo(np.uint64).max))


@lru_cache(maxsize=2)
def train_corpus(corpus: Corpus) -> TrainCorpus:
    """The train split of a corpus; worked out once for all features."""
    in_train, kept = corpus.in_train, corpus.documents_in_train
    sequences = kept[corpus.documents]
    documents = np.cumsum(kept) - 1
    known = corpus.background
    alone = Corpus(
        tokens=corpus.tokens[in_train],
        offsets=np.append(0, np.cumsum(np.diff(corpus.offsets)[sequences])).astype(np.int64),
        documents=documents[corpus.documents[sequences]],
        hashes=corpus.hashes[kept] << np.uint64(1),  # the next bit decides; copies stay on one side
        names=tuple(
            name for name, inside in zip(corpus.names, kept.tolist(), strict=True) if inside
        ),
        vocabulary=corpus.vocabulary,
        left_out=np.flatnonzero(~corpus.counted[in_train]),
        near_copies=documents[corpus.groups[kept]],
        background=None if known is None else int(sequences[:known].sum()),
        numbers=None if corpus.numbers is None else corpus.numbers[sequences],
    )
    return TrainCorpus(alone, in_train, np.cumsum(in_train) - 1, documents, sequences)
