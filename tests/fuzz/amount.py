"""How many cases are tried, always the same.

With GLOSS_FUZZ=20 in the environment so many times more, others each time.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("GLOSS_FUZZ", "1"))


def tries(number: int) -> settings:
    """Settings of a test that is to be tried so often."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=TIMES == 1,
    )
