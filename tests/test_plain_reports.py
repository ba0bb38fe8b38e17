"""A failure is told whatever stands in it."""

import os
import subprocess
import sys
from pathlib import Path

FAILS = """
def test_halves():
    print("printed \\ud83d")
    assert "\\ud83d" == "whole"
"""


def test_a_failure_that_holds_half_a_character_is_told_by_another_process(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "from plain_reports import pytest_report_to_serializable  # noqa: F401\n"
    )
    (tmp_path / "test_it.py").write_text(FAILS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "printed \\ud83d" in done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr
