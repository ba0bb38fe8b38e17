"""Do contexts in which the feature fires lie closer to the explanation, or to each other?

Both are answered by cosines of embeddings.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from gloss.models.chat_models.prompts import Conversation
from gloss.models.embedder import Embedder, load_embedder
from gloss.records import (
    Contexts,
    Estimate,
    Examples,
    Explanation,
    Failure,
    Needs,
    Negative,
    Reason,
    Score,
)
from gloss.score.judge.verdict_metrics import too_few_contexts
from gloss.statistics.intervals import NORMAL_QUANTILE
from gloss.statistics.ranking import (
    ranking_estimates,
    ranking_headline,
    ranking_placements,
)
from gloss.store.context_text import context_texts
from gloss.store.evidence import Evidence

EXAMPLE_EMBEDDING = "example_embedding"
ABOVE_RIVALS = "above_other_explanations"
FEWEST_RIVALS = 10  # explanations of other features, or else nothing is said of them
MOST_EMBEDDED = 100  # train contexts of either kind that are embedded
SIDE_NAMES = ("firing held-out", "inactive held-out", "firing train", "inactive train")


@dataclass(frozen=True)
class Embedding:
    """Ranks held-out contexts by how close they lie to the explanation, with a model here or behind
    an endpoint.
    """

    needs: ClassVar[Needs] = Needs(rivals=True)
    # a folder, or what the endpoint calls it; "" takes the model of the extra `embed`
    model: str = ""
    base_url: str = ""  # of an endpoint; "" embeds on this machine
    instruction: str = ""  # put before the explanation, for models that want one

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """AUROC and AUPRC of the cosines, and how many explanations of other features rank these
        contexts worse. Yields no prompts.
        """
        yield from ()
        return self.score_with(load_embedder(self.model, self.base_url), explanation, evidence, rng)

    def score_with(
        self,
        chosen: Embedder,
        explanation: Explanation,
        evidence: Evidence,
        rng: np.random.Generator,
    ) -> Score | Failure:
        """The same with this embedder."""
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        firing, inactive = examples.held_out, examples.inactive_held_out
        if len(firing) == 0 or len(inactive) == 0:
            return too_few_contexts(explanation, len(firing), len(inactive))
        texts = tuple(
            text for side in (firing, inactive) for text in context_texts(side, vocabulary)
        )
        embedded = embed_texts(chosen, texts)
        close = (embedded @ chosen.embed([self.instruction + explanation.text])[0]).astype(
            np.float64
        )
        hard = inactive.quantiles != Negative.RANDOM
        sides = close[: len(firing)], close[len(firing) :]
        score = score_ranking(
            ("embedding", ranking_headline(hard)), explanation, examples, sides, rng
        )
        others = np.array([text != explanation.text for text in evidence.rivals], dtype=bool)
        if others.sum() < FEWEST_RIVALS:
            return score
        said = tuple(self.instruction + text for text in evidence.rivals)
        rivals = (embedded @ embed_rivals(chosen, said).T).astype(np.float64)[:, others]
        above = above_rivals(score.estimates["auroc"], rivals[: len(firing)], rivals[len(firing) :])
        return replace(score, estimates={**score.estimates, ABOVE_RIVALS: above})


@lru_cache(maxsize=4)
def embed_texts(chosen: Embedder, texts: tuple[str, ...]) -> Float32[ndarray, "text d"]:
    """The texts' embeddings.

    Kept, because a feature's contexts are scored with several explanations in turn.
    """
    return chosen.embed(texts)


@lru_cache(maxsize=4)
def embed_rivals(chosen: Embedder, texts: tuple[str, ...]) -> Float32[ndarray, "text d"]:
    """The same of explanations, which are held against those of all features."""
    return chosen.embed(texts)


def above_rivals(
    own: Estimate,
    firing: Float64[ndarray, "firing rival"],
    inactive: Float64[ndarray, "inactive rival"],
) -> Estimate:
    """The share of other explanations that rank a feature's contexts worse than its own.

    From the share that lies below the lower bound of its own AUROC to the share whose lower bound
    does not lie above its upper bound; a rival's is that of DeLong et al. (1988).
    """
    placed = [ranking_placements(*sides) for sides in zip(firing.T, inactive.T, strict=True)]
    area = np.array([mine.mean() for mine, _ in placed])
    spread = [sum(side.var() / max(1, len(side) - 1) for side in sides) for sides in placed]
    lower = area - NORMAL_QUANTILE * np.sqrt(spread)
    shares = (area < own.value, area < own.low, lower <= own.high)
    return Estimate(*(float(share.mean()) for share in shares))


@dataclass(frozen=True)
class ExampleEmbedding:
    """Ranks held-out contexts by how much closer they lie to train contexts that fire than to train
    contexts that are inactive.
    """

    needs: ClassVar[Needs] = Needs(explanation=False)
    # a folder, or what the endpoint calls it; "" takes the model of the extra `embed`
    model: str = ""
    base_url: str = ""  # of an endpoint; "" embeds on this machine

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """AUROC and AUPRC of the differences, whatever the explanation. Yields no prompts."""
        yield from ()
        return self.score_with(load_embedder(self.model, self.base_url), explanation, evidence, rng)

    def score_with(
        self,
        chosen: Embedder,
        explanation: Explanation,
        evidence: Evidence,
        rng: np.random.Generator,
    ) -> Score | Failure:
        """The same with this embedder.

        A failure where there is nothing to compare, or nothing to compare with.
        """
        examples = evidence.examples
        at_random = examples.inactive_train[examples.inactive_train.quantiles == Negative.RANDOM]
        sides = (
            examples.held_out,
            examples.inactive_held_out,
            examples.train.spaced(MOST_EMBEDDED),
            at_random.spaced(MOST_EMBEDDED),
        )
        if min(map(len, sides)) == 0:
            found = ", ".join(
                f"{len(side)} {name}" for side, name in zip(sides, SIDE_NAMES, strict=True)
            )
            return Failure(
                examples.feature,
                "score",
                Reason.TOO_FEW_EXAMPLES,
                f"{found} contexts, wants at least 1 of each",
            )
        firing, inactive, shown, others = (embed_contexts(chosen, side, evidence) for side in sides)
        towards = shown.mean(0, dtype=np.float64) - others.mean(0, dtype=np.float64)
        closeness = firing @ towards, inactive @ towards
        return score_ranking((EXAMPLE_EMBEDDING, "auroc"), explanation, examples, closeness, rng)


def score_ranking(
    called: tuple[str, str],
    explanation: Explanation,
    examples: Examples,
    closeness: tuple[Float64[ndarray, " firing"], Float64[ndarray, " inactive"]],
    rng: np.random.Generator,
) -> Score:
    """How well closeness tells the held-out contexts in which the feature fires from the others,
    beside guessing; `called` names the method and its headline.
    """
    firing, inactive = closeness
    n = len(firing) + len(inactive)
    hard = examples.inactive_held_out.quantiles != Negative.RANDOM
    estimates = ranking_estimates(firing, inactive, hard, examples.share_held_out, rng)
    estimates["auprc_of_guessing"] = Estimate(*[len(firing) / n] * 3)
    method, headline = called
    return Score(examples.feature, method, explanation.method, n, 0, estimates, headline)


def embed_contexts(
    chosen: Embedder, contexts: Contexts, evidence: Evidence
) -> Float32[ndarray, "context d"]:
    """Each context as plain text: marks would tell where it fires."""
    return chosen.embed(context_texts(contexts, evidence.corpus.vocabulary))
