"""A run of the embedded subject that is small enough to be made in a test."""

import os
import subprocess
import sys
from pathlib import Path

SMALL = """
[run]
folder = "out"
features = 12
features_per_shard = 3
processes = 1

[collect]
max_tokens = 12000

[contexts]
shown = 60
silent_shown = 150
minimum = 4
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    code = "from gloss.cli import main; main()"
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
