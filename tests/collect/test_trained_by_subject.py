"""Methods of decompose that read the subject itself, or texts of their own with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_subject

from gloss.decompose.difference_of_means import DifferenceOfMeans
from gloss.decompose.observable import Observable
from gloss.decompose.supervised import Supervised
from gloss.errors import BadSettings, Mismatch
from gloss.models.subject import Subject


def test_an_observable_is_what_its_logits_read_after_the_norm() -> None:
    subject = tiny_subject()
    with torch.no_grad():
        subject.anatomy.norm_at_end.weight.uniform_(0.2, 3)
    site = subject.site(f"resid_post.{subject.layers - 1}")
    strings = subject.vocabulary().strings
    words = [text for text in strings if len(subject.encode(text)) == 1][:4]
    method = Observable(positive=tuple(words[:2]), negative=(words[2],))
    found = method.fit(iter(()), site, np.random.default_rng(0), subject=subject)
    tokens = torch.tensor([subject.encode(" ".join(words * 3))[:20]])
    trace = subject.run(tokens, read=[site], logits=True)
    logits, x = trace.logits[0].float(), trace.activations[site][0].float()
    ids = [subject.encode(word)[0] for word in words]
    difference = logits[:, ids[:2]].mean(1) - logits[:, ids[2]]
    along = found.encode(x).dense(2) @ torch.tensor([1.0, -1.0])
    # one factor for each vector, its norm's: of the same sign, and near in all
    moved = along / x.norm(dim=1)
    assert np.corrcoef(moved.numpy(), difference.detach().numpy())[0, 1] > 0.99
    with pytest.raises(BadSettings, match="positive is empty"):
        Observable().fit(iter(()), site, np.random.default_rng(0), subject=subject)
    with pytest.raises(Mismatch, match="mlp_act"):
        method.fit(iter(()), subject.site("mlp_act.0"), np.random.default_rng(0), subject=subject)
    many = Observable(positive=(" ".join(words),), negative=(words[0],))
    with pytest.raises(BadSettings, match="give single tokens"):
        many.fit(iter(()), site, np.random.default_rng(0), subject=subject)


def test_a_token_is_one_where_the_tokenizer_puts_a_space_in_front_of_all_text(data_folder) -> None:
    subject = Subject.load(data_folder / "tinystories-656k", device="cpu")
    assert len(subject.encode("he")) == 2
    method = Observable(positive=("he",), negative=("she",))
    found = method.fit(
        iter(()), subject.site("resid_post.1"), np.random.default_rng(0), subject=subject
    )
    assert found.width == 2
    two = Observable(positive=(" he",), negative=("she",))
    with pytest.raises(BadSettings, match=r"2 tokens of this model \(' ', 'he'\)"):
        two.fit(iter(()), subject.site("resid_post.1"), np.random.default_rng(0), subject=subject)


@pytest.mark.parametrize("kind", [DifferenceOfMeans, Supervised])
def test_labelled_texts_are_read_with_the_subject(kind, tmp_path: Path) -> None:
    subject = tiny_subject()
    words = [text for text in subject.vocabulary().strings if len(subject.encode(text)) == 1][:6]
    file = tmp_path / "labelled.jsonl"
    rows = [{"text": f"{words[0]} {word}", "label": n % 2} for n, word in enumerate(words)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    site = subject.site("resid_post.0")
    for at in ("last", "mean"):
        method = kind(texts=str(file), at=at)
        method.require_files()
        found = method.fit(iter(()), site, np.random.default_rng(0), subject=subject)
        assert found.width == 2
    with pytest.raises(BadSettings, match="reads the subject"):
        method.fit(iter(()), site, np.random.default_rng(0))
