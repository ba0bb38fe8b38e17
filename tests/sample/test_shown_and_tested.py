"""What explainers are shown depends on the sampler, and what they are tested on does not."""

from dataclasses import replace

import numpy as np

from gloss.records import Examples, FeatureId
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles, Random, Top


def test_the_held_out_and_inactive_contexts_are_the_same_whatever_is_shown(planted):
    settings = SamplingSettings(train=12, inactive_train=30, minimum=3)
    for index in range(6):
        found = [
            gather_examples(
                FeatureId("planted", index),
                planted.activations[index],
                planted.corpus,
                sampler,
                settings,
                np.random.default_rng([3, index]),
            )
            for sampler in (Quantiles(), Top(), Random())
        ]
        shown = [one for one in found if isinstance(one, Examples)]
        assert len(shown) == 3
        for role in ("held_out", "inactive_train", "inactive_held_out"):
            starts = [getattr(one, role).starts.tolist() for one in shown]
            assert starts[0] == starts[1] == starts[2]
        assert set(shown[0].held_out.quantiles.tolist()) == set(range(10))
        more = gather_examples(
            FeatureId("planted", index),
            planted.activations[index],
            planted.corpus,
            Top(),
            replace(settings, train=3),
            np.random.default_rng([3, index]),
        )
        assert isinstance(more, Examples)
        assert more.held_out.starts.tolist() == shown[0].held_out.starts.tolist()
