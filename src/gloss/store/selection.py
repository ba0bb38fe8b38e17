"""The shown split taken for a whole corpus and split again, so that explanations can be chosen without what is held out."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from gloss.records import Contexts, Examples, FeatureActivations, Split
from gloss.store.contexts import tiles_of
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.examples import favourites_of, share_near, strongest_shown


@dataclass(frozen=True, eq=False)
class Within:
    """The documents of the shown split alone, and where each of its tokens has gone."""

    corpus: Corpus
    shown: Bool[ndarray, " token"]  # of the tokens of the whole corpus
    moved: Int64[ndarray, " token"]  # the new index of each token that is shown
    documents: Int64[ndarray, " document"]  # the new number of each document that is shown

    def activations(self, activations: FeatureActivations) -> FeatureActivations:
        """Those in the shown split."""
        inside = self.shown[activations.positions]
        return FeatureActivations(self.moved[activations.positions[inside]], activations.values[inside])

    def contexts(self, contexts: Contexts) -> Contexts:
        """Contexts of the shown split, where they are now."""
        assert contexts.places is not None
        firsts = contexts.starts - contexts.places  # of their sequences; a context may begin in front of its own
        documents, groups = self.documents[contexts.documents], self.documents[contexts.units]
        return replace(contexts, starts=self.moved[firsts] + contexts.places, documents=documents, groups=groups)


def selection_of(evidence: Evidence) -> Evidence:
    """What an explainer may choose its explanation by: the evidence as if the shown split were all that there is.

    Its documents are split in two by their hashes; the half that is held out here is what explanations are chosen on, and
    nothing that is held out of the whole is anywhere in it.
    """
    within, examples = within_shown(evidence.corpus), evidence.examples
    corpus, activations = within.corpus, within.activations(evidence.activations)
    firing, silent = within.contexts(examples.shown), within.contexts(examples.silent_shown)
    fires_in_shown, silent_in_shown = (corpus.document_splits[each.documents] for each in (firing, silent))
    width = firing.tokens.shape[1]
    tiles = tiles_of(corpus, width)
    fired = tiles.firing(activations)
    favourites = favourites_of(corpus, activations)
    chosen = Examples(
        examples.feature,
        shown=firing[fires_in_shown],
        held_out=firing[~fires_in_shown],
        silent_shown=silent[silent_in_shown],
        silent_held_out=silent[~silent_in_shown],
        strongest=strongest_shown(corpus, activations),
        share_shown=tiles.share(fired, Split.SHOWN),
        share_held_out=tiles.share(fired, Split.HELD_OUT),
        output_tokens=examples.output_tokens,
        favourites=favourites,
        share_near=share_near(corpus, activations, width, favourites),
    )
    neighbours = tuple(replace(near, activations=within.activations(near.activations)) for near in evidence.neighbours)
    return Evidence(chosen, corpus, activations, neighbours, evidence.reader)


def exchanged(evidence: Evidence) -> Evidence:
    """The evidence with the contexts of both splits exchanged, for a judge of contexts that an explainer has seen."""
    e = evidence.examples
    turned = replace(
        e, shown=e.held_out, held_out=e.shown, silent_shown=e.silent_held_out, silent_held_out=e.silent_shown,
        share_shown=e.share_held_out, share_held_out=e.share_shown,
    )  # fmt: skip
    return replace(evidence, examples=turned)


@lru_cache(maxsize=2)
def within_shown(corpus: Corpus) -> Within:
    """The shown split of a corpus; worked out once for all features."""
    shown, kept = corpus.shown, corpus.document_splits
    sequences = kept[corpus.documents]
    documents = np.cumsum(kept) - 1
    alone = Corpus(
        tokens=corpus.tokens[shown],
        offsets=np.append(0, np.cumsum(np.diff(corpus.offsets)[sequences])).astype(np.int64),
        documents=documents[corpus.documents[sequences]],
        hashes=corpus.hashes[kept] << np.uint64(1),  # the next bit decides; copies stay on one side
        names=tuple(name for name, inside in zip(corpus.names, kept.tolist(), strict=True) if inside),
        vocabulary=corpus.vocabulary,
        left_out=np.flatnonzero(~corpus.counted[shown]),
        near_copies=documents[corpus.groups[kept]],
    )
    return Within(alone, shown, np.cumsum(shown) - 1, documents)
