"""The transformer that is written by hand does what it was written to do."""

import numpy as np
import torch

from gloss.models.compiled_subject import SITE, CompiledSide, compile_subject


def test_a_feature_fires_at_its_triggers_alone_and_what_it_promotes_becomes_likelier(
    rng: np.random.Generator,
):
    found = compile_subject(rng, each=2)
    words = [trigger[0] for trigger in found.triggers]
    tokens = torch.tensor([[0, word] for word in words])
    codes = found.dictionary.encode(
        found.subject.run(tokens, read=(SITE,)).activations[SITE][:, 1]
    ).dense(6)
    assert torch.equal(codes > 0, torch.eye(6).bool())
    assert sorted(found.sides) == [
        *[CompiledSide.BOTH] * 2,
        *[CompiledSide.INPUT] * 2,
        *[CompiledSide.OUTPUT] * 2,
    ]
    logits = found.subject.next_logits(tokens)
    for row, (side, promoted) in enumerate(zip(found.sides, found.promoted, strict=True)):
        assert (promoted == ()) == (side is CompiledSide.INPUT)
        if promoted:
            assert float(logits[row, list(promoted)].mean()) > 1.5 + float(logits[row].mean())


def test_words_and_tokens_are_the_same_thing(rng: np.random.Generator):
    found = compile_subject(rng, each=1)
    strings = found.subject.vocabulary().strings
    assert found.subject.encode("".join(strings[5:9])) == [5, 6, 7, 8]
    drawn = found.random_text(500, rng)
    assert drawn.min() >= 1
