"""The compiled features, sorted by who reads and who writes: a small version of experiment 6."""

import numpy as np
import pytest
import torch

from benchmarks.quality.input_output import run


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_row_of_experiment_6_passes():
    rows = run(np.random.default_rng(0), small=True)
    assert len(rows) == 9
    assert [row.known for row in rows if not row.passed] == []
