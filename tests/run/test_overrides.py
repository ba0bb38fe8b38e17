"""What the command line changes in an experiment."""

import pytest

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment, with_precision


def test_a_precision_reaches_every_score_that_can_stop_early_and_no_other():
    asked = Experiment.of(
        {
            "score": [
                {"method": "detection"},
                {"method": "execution"},
                {"method": "fuzzing", "precision": 0.2},
            ]
        }
    )
    assert [table.get("precision") for table in with_precision(asked, 0.05).score] == [
        0.05,
        None,
        0.05,
    ]
    with pytest.raises(BadSettings, match="detection and fuzzing can"):
        with_precision(Experiment.of({}), 0.05)
