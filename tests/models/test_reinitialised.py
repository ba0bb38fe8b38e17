"""A subject whose weights were never trained: the same shapes, other numbers, the same numbers for
the same seed.
"""

import numpy as np
import torch

from gloss.models.bundled import embedded_folder
from gloss.models.subject import Subject, untrained_subject


def test_every_matrix_is_drawn_anew_by_the_generator_alone():
    subject = Subject.load(embedded_folder("subject"), device="cpu")
    before = torch.random.get_rng_state()
    one, again, other = (
        untrained_subject(subject, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    trained, first = subject.model.state_dict(), one.model.state_dict()
    assert {name: value.shape for name, value in first.items()} == {
        name: value.shape for name, value in trained.items()
    }
    for name, value in first.items():
        assert torch.equal(value, again.model.state_dict()[name])
        if value.ndim == 2:
            assert not torch.equal(value, trained[name])
            assert not torch.equal(value, other.model.state_dict()[name])
            assert abs(float(value.std()) - 0.02) < 2e-3  # the family's own initialisation
    assert one.encode("def f(x):") == subject.encode("def f(x):")
    assert one.start_token == subject.start_token


def test_a_random_subject_predicts_nothing():
    subject = Subject.load(embedded_folder("subject"), device="cpu")
    tokens = torch.tensor(
        [[subject.start_token or 0, *subject.encode("import os\nimport sys\n" * 8)]]
    )
    found = []
    for each in (subject, untrained_subject(subject, np.random.default_rng(0))):
        logits = each.run(tokens, logits=True).logits
        assert logits is not None
        found.append(
            float(torch.nn.functional.cross_entropy(logits[0, :-1].float(), tokens[0, 1:]))
        )
    assert found[0] < 2 < np.log(4096) - 1 < found[1]
