"""Processes that begin with the slow imports done: forked from one that has done nothing else."""

import os
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest.mock import patch


@cache
def forking() -> ForkServerContext:
    """Starts such processes; the first call starts the one from which they are forked."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["imported_once"])
    # it does not take over where this process finds modules
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    with patch.dict(os.environ, {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}):
        forkserver.ensure_running()
    return context
