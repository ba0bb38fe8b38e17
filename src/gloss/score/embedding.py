"""Do contexts in which the feature fires lie closer to the explanation? The cosine of their embeddings (Paulo et al., 2024)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.models.embedder import Embedder, embedder
from gloss.models.prompts import Conversation
from gloss.records import Estimate, Explanation, Failure, Negative, Score
from gloss.score.ranking import headline, ranked
from gloss.score.verdicts import too_few
from gloss.store.evidence import Evidence
from gloss.store.whole import texts_of


@dataclass(frozen=True)
class Embedding:
    """Ranks held-out contexts by how close they lie to the explanation, with a model here or behind an endpoint."""

    model: str = ""  # a folder, or what the endpoint calls it; "" takes the model of the extra `embed`
    base_url: str = ""  # of an endpoint; "" embeds on this machine
    instruction: str = ""  # put before the explanation, for models that want one

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """AUROC and AUPRC of the cosines. Yields no prompts."""
        yield from ()
        return self.ranked(embedder(self.model, self.base_url), explanation, evidence, rng)

    def ranked(self, chosen: Embedder, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Score | Failure:
        """The same with this embedder."""
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        firing, silent = examples.held_out, examples.silent_held_out
        if len(firing) == 0 or len(silent) == 0:
            return too_few(explanation, len(firing), len(silent))
        texts = tuple(text for side in (firing, silent) for text in texts_of(side, vocabulary))
        close = (embedded(chosen, texts) @ chosen.embed([self.instruction + explanation.text])[0]).astype(np.float64)
        near, far = close[: len(firing)], close[len(firing) :]
        hard = silent.quantiles != Negative.RANDOM
        estimates = ranked(near, far, hard, examples.share_held_out, rng)
        estimates["auprc_of_guessing"] = Estimate(*[len(firing) / len(texts)] * 3)
        return Score(examples.feature, "embedding", explanation.method, len(texts), 0, estimates, headline(hard))


@lru_cache(maxsize=4)
def embedded(chosen: Embedder, texts: tuple[str, ...]) -> Float32[ndarray, "text d"]:
    """The texts' embeddings; kept, because a feature's contexts are scored with several explanations in turn."""
    return chosen.embed(texts)
