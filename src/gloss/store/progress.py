"""How a long task says how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called with what is done and what there is in all, or None while that is unknown.

The unit is the task's own.
"""


def ignore_progress(done: int, total: int | None) -> None:
    """Say nothing."""
