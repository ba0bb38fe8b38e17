"""What a test reports, as it can travel between processes: halves of characters, which UTF-8 cannot
hold, are spelled out. Else the process that hears of the failure ends with it.
"""

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Every text of the report without halves of characters."""
    return plain((yield))


def plain(value: Any) -> Any:
    """A value of texts, lists and mappings, each half of a character spelled out.

    >>> plain({"said": ["\\ud83d"]})
    {'said': ['\\\\ud83d']}
    """
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(each) for each in value)
    return value
