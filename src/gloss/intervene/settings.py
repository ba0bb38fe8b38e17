"""What a run may ask of interventions.

Free of torch, so that an experiment is checked before anything is loaded.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class EditReach(StrEnum):
    """Which positions of a prompt an intervention changes.

    The start token's never, what is written after it always.
    """

    TEXT = "text"  # every one
    LAST = "last"  # the last one alone, as intervention scoring has it


@dataclass(frozen=True)
class InterventionSettings:
    """At which KLs features are amplified, after how many prompts, and how much of the effect is
    kept.
    """

    kl: tuple[float, ...] = (0.1, 1.0)  # targets, in nats
    train_kl: float = 1.0  # the target of what explainers see
    prompts: int = 16  # held-out contexts
    train_prompts: int = 8
    completions: int = 4  # of the held-out prompts; the score `intervention` reads these
    new_tokens: int = 8
    tokens: int = 10  # that rise, and as many that fall
    reach: str = "text"  # or "last": which positions of a prompt are changed

    def __post_init__(self) -> None:
        if self.reach not in list(EditReach):
            raise ValueError(f"reach must be one of {', '.join(EditReach)}, got {self.reach!r}")
        if not self.kl or not all(
            target > 0 and math.isfinite(target) for target in (*self.kl, self.train_kl)
        ):
            raise ValueError(
                f"kl and train_kl must be above 0, got {list(self.kl)} and {self.train_kl}"
            )
        if len(set(self.kl)) < len(self.kl):
            raise ValueError(f"kl names a target twice, got {list(self.kl)}")
        for name in ("prompts", "train_prompts", "new_tokens", "tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 <= self.completions <= self.prompts:
            raise ValueError(
                f"completions must be from 0 to the {self.prompts} prompts, got {self.completions}"
            )
