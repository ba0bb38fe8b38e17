"""The contexts that show one feature, split so that no document is on both sides."""

import math
from dataclasses import dataclass, replace

from gloss.records.contexts import Contexts, Split
from gloss.records.effects import Effect
from gloss.records.features import FeatureId


@dataclass(frozen=True, slots=True)
class Examples:
    """The contexts that show one feature to explainers and scorers.

    Train and held-out contexts never share a document or its near copy: the record raises
    ValueError. It does so, too, where an inactive context holds an activation.

        >>> examples = feature.examples
        >>> examples.strongest >= examples.train.maxima.max()
        np.True_
    """

    feature: FeatureId
    train: Contexts  # where it fires, in documents of the train split: an explainer may see these
    held_out: Contexts  # where it fires, in documents of the held-out split: scorers use these
    inactive_train: Contexts  # where it is inactive, in the train split
    inactive_held_out: Contexts  # where it is inactive, in the held-out split
    strongest: float  # the feature's largest activation in the train split
    # of the train split's windows, the share in which it fires: turns samples back into true rates
    share_train: float
    share_held_out: float  # the same of the held-out split
    # whose logits the feature raises further than random directions do, where known
    output_tokens: tuple[str, ...] = ()
    top_tokens: tuple[int, ...] = ()  # the tokens at which it fires most often in the train split
    # of the train split's inactive windows, the share that hold a top token: weighs near misses
    share_near: float = math.nan
    # of the tokens that drive it at its peaks (0 the peak, -1 the one before), weightiest first
    offsets: tuple[int, ...] = ()
    # of interventions after train contexts; for explainers that need them
    effects: tuple[Effect, ...] = ()

    def for_explainer(self) -> "Examples":
        """The same without anything that is held out.

        >>> len(feature.examples.for_explainer().held_out)
        0
        """
        none = Contexts.empty(self.held_out.tokens.shape[1])
        effects = tuple(effect for effect in self.effects if effect.split is Split.TRAIN)
        return replace(
            self, held_out=none, inactive_held_out=none, share_held_out=math.nan, effects=effects
        )

    def __post_init__(self) -> None:
        import numpy as np

        train = np.sort(np.append(self.train.units, self.inactive_train.units))
        held_out = np.append(self.held_out.units, self.inactive_held_out.units)
        near = np.searchsorted(train, held_out, side="right") - 1
        if len(train) and (both := train[near] == held_out).any():
            shared = np.unique(held_out[both])
            raise ValueError(
                f"{self.feature}: documents {shared[:5].tolist()}, or near copies of them, are both"
                " in the train split and held out; split by group first"
            )
        for name in ("inactive_train", "inactive_held_out"):
            if (getattr(self, name).activations != 0).any():
                raise ValueError(
                    f"{self.feature}: a context of {name} holds an activation; negatives must be"
                    " inactive"
                )
