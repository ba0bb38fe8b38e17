"""What a value of an answer is made of, wherever its log-probability comes from: a subject in this
process, or an endpoint.
"""

from enum import StrEnum
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")
NEARLY_SURE = -1e-12  # nats: a log-probability above it counts as this, so that log-odds are finite


class AttributedValue(StrEnum):
    """What is read after the prompt."""

    LOG_PROBABILITY = "log_probability"  # of the answer, in nats
    LOG_ODDS = "log_odds"  # of the answer
    DIFFERENCE = "difference"  # how much likelier the answer is than the other one, in nats
    KL = "kl"  # KL from the clean prediction, in nats
    ACTIVATION = "activation"  # of a feature at the prompt's last token


def log_odds(log_probability: T, maths: ModuleType) -> T:
    """log p / (1 - p) from log p, by numpy or by torch."""
    below = maths.clip(log_probability, None, NEARLY_SURE)
    return log_probability - maths.log(-maths.expm1(below))
