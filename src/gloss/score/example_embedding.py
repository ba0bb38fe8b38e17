"""Do contexts in which the feature fires lie closer to each other? Embeddings, and no explanation (Paulo and Belrose, 2025)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.models.embedder import Embedder, embedder
from gloss.models.prompts import Conversation
from gloss.records import Contexts, Estimate, Explanation, Failure, Negative, Reason, Score
from gloss.score.ranking import ranked
from gloss.store.evidence import Evidence
from gloss.store.whole import texts_of

METHOD = "example_embedding"


@dataclass(frozen=True)
class ExampleEmbedding:
    """Ranks held-out contexts by how much closer they lie to shown contexts that fire than to shown ones that are silent."""

    reads_explanation: ClassVar[bool] = False
    model: str = ""  # a folder, or what the endpoint calls it; "" takes the model of the extra `embed`
    base_url: str = ""  # of an endpoint; "" embeds on this machine

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """AUROC and AUPRC of the differences, whatever the explanation. Yields no prompts."""
        yield from ()
        return self.ranked(embedder(self.model, self.base_url), explanation, evidence, rng)

    def ranked(self, chosen: Embedder, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Score | Failure:
        """The same with this embedder; a failure where there is nothing to compare, or nothing to compare with."""
        examples = evidence.examples
        at_random = examples.silent_shown[examples.silent_shown.quantiles == Negative.RANDOM]
        sides = (examples.held_out, examples.silent_held_out, examples.shown.spaced(MOST), at_random.spaced(MOST))
        if min(map(len, sides)) == 0:
            found = ", ".join(f"{len(side)} {name}" for side, name in zip(sides, SIDES, strict=True))
            return Failure(examples.feature, "score", Reason.TOO_FEW_EXAMPLES, f"{found} contexts, wants at least 1 of each")
        firing, silent, shown, others = (embedded(chosen, side, evidence) for side in sides)
        towards = shown.mean(0, dtype=np.float64) - others.mean(0, dtype=np.float64)
        hard = examples.silent_held_out.quantiles != Negative.RANDOM
        estimates = ranked(firing @ towards, silent @ towards, hard, examples.share_held_out, rng)
        n = len(firing) + len(silent)
        estimates["auprc_of_guessing"] = Estimate(*[len(firing) / n] * 3)
        return Score(examples.feature, METHOD, explanation.method, n, 0, estimates, "auroc")


MOST = 100  # shown contexts of either kind that are embedded
SIDES = ("firing held-out", "silent held-out", "firing shown", "silent shown")


def embedded(chosen: Embedder, contexts: Contexts, evidence: Evidence) -> Float32[ndarray, "context d"]:
    """Each context as plain text: marks would tell where it fires."""
    return chosen.embed(texts_of(contexts, evidence.corpus.vocabulary))
