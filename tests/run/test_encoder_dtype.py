"""`[decompose] dtype`: in which type of number the encoder of a given dictionary is multiplied."""

import pytest
import torch

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run
from gloss.run.run_dictionary import load_subject_and_dictionary


def test_the_runs_dictionary_is_multiplied_in_the_type_that_is_asked_for(tmp_path):
    asked = {"run": {"folder": str(tmp_path)}, "decompose": {"dictionary": "embedded"}}
    subject, exact = load_subject_and_dictionary(plan_run(Experiment.of(asked)))
    asked["decompose"]["dtype"] = "bfloat16"
    _, rounded = load_subject_and_dictionary(plan_run(Experiment.of(asked)))
    assert (exact.encoder.dtype, rounded.encoder.dtype) == (torch.float32, torch.bfloat16)
    tokens = torch.tensor([[subject.start_token, *subject.encode("def f(x): return x + 1")]])
    x = subject.run(tokens, read=[exact.reads]).activations[exact.reads][0, 1:]
    every, found = (each.encode(x).dense(exact.width) for each in (exact, rounded))
    assert 0 < (every - found).norm() < 0.1 * every.norm()


@pytest.mark.parametrize(
    ("decompose", "said"),
    [
        (
            {"dictionary": "embedded", "dtype": "int8"},
            "dtype must be float32, bfloat16 or float16, in which .* got 'int8'",
        ),
        (
            {"dictionary": "neurons", "site": "mlp_act.1", "dtype": "float32"},
            "with a dictionary has no setting 'dtype'",
        ),
        ({"dictionary": "embedded", "dtype": 16}, "dtype must be"),
    ],
)
def test_a_type_that_does_not_fit_is_refused(decompose, said):
    with pytest.raises(BadSettings, match=said):
        Experiment.of({"decompose": decompose})
