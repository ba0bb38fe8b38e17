"""Methods of decompose that read the subject itself, or texts of their own with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from tiny import sentences, tiny_subject

from gloss.collect.activation_batches import ActivationBatches, activation_batches
from gloss.collect.texts import Document
from gloss.collect.tokens import read_texts
from gloss.decompose.difference_of_means import DifferenceOfMeans
from gloss.decompose.local_interaction_basis import LocalInteractionBasis, MeanEffects
from gloss.decompose.observable import Observable
from gloss.decompose.pca import PrincipalComponents
from gloss.decompose.supervised import Supervised
from gloss.errors import BadSettings, Mismatch
from gloss.models.massive_tokens import NONE_MASSIVE
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus


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


def tiny_batches(subject: Subject, site: str, folder: Path, seed: int) -> ActivationBatches:
    documents = [Document(name, iter((text,))) for name, text in sentences(60)]
    read_texts(subject, documents, folder, 32, None)
    rng = np.random.default_rng(seed)
    return activation_batches(subject, subject.site(site), Corpus.open(folder), rng)


def mean_best_cosine(truth: torch.Tensor, found: torch.Tensor) -> float:
    """Of directions of either sign, each with a partner of its own."""
    unit = [torch.nn.functional.normalize(rows.double(), dim=1) for rows in (truth, found)]
    cosines = (unit[0] @ unit[1].T).abs()
    return float(cosines[linear_sum_assignment(-cosines.numpy())].mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_local_interaction_basis_is_what_the_next_module_reads(seed, tmp_path: Path) -> None:
    """An MLP of which each neuron reads a direction of its own, uncorrelated with the others."""
    subject, generator = tiny_subject(), torch.Generator().manual_seed(seed)
    site, number = subject.site("mlp_in.1"), 6
    x = torch.cat(list(tiny_batches(subject, "mlp_in.1", tmp_path, seed))).double()
    variances, axes = torch.linalg.eigh(torch.cov(x.T))
    turned = torch.linalg.qr(torch.randn(16, 16, generator=generator).double()).Q[:number]
    truth = (turned * variances.rsqrt()) @ axes.T
    mlp = subject.model.model.layers[1].mlp
    with torch.no_grad():
        for weight in (mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight):
            weight.zero_()
        strengths = torch.linspace(0.4, 1.6, number)[:, None]
        mlp.gate_proj.weight[:number] = mlp.up_proj.weight[:number] = strengths * truth.float()
        out = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q[:, :number]
        mlp.down_proj.weight[:, :number] = out
    method = LocalInteractionBasis(target="mlp_out.1", tokens=2000, probes=8)
    rng, batches = np.random.default_rng(seed), tiny_batches(subject, "mlp_in.1", tmp_path, seed)
    told: list[object] = []
    found = method.fit(batches, site, rng, told.append, massive=0.0, subject=subject)
    components = PrincipalComponents(16).fit(iter([x.float()]), site, rng, massive=0.0)
    assert found.width == 2 * number  # nothing of what is not read
    assert mean_best_cosine(truth, found.encoder[::2]) > 0.95
    assert mean_best_cosine(truth, components.encoder[::2]) < 0.8
    codes = found.encode(x.float()).dense(found.width)
    effects = codes.square().sum(0).reshape(-1, 2).sum(1) / len(x)
    assert bool((effects[:-1] > 0.9 * effects[1:]).all())  # in the order of their effect
    assert len(told) > 3


def test_effects_are_those_of_the_derivative_at_all_later_positions() -> None:
    subject = tiny_subject()
    site, target = subject.site("resid_post.0"), subject.site("resid_post.1")
    tokens = torch.tensor([[0, *subject.encode("the cat sat")[:4]]])
    kept = torch.tensor([[False, *[True] * (tokens.shape[1] - 1)]])
    here = subject.run(tokens, [site]).activations[site].detach()

    def at_target(x: torch.Tensor) -> torch.Tensor:
        return subject.run(tokens, [target], {site: lambda _: x}, grad=True)[target][kept]

    jacobian = torch.autograd.functional.jacobian(at_target, here)
    by_position = jacobian[:, :, 0, 1:].double()  # of each output, by each position that is kept
    wanted = torch.einsum("otpd,otpe->de", by_position, by_position) / int(kept.sum())
    effects = MeanEffects(subject, site, target, 500, torch.Generator().manual_seed(0))
    effects.add(tokens, kept, NONE_MASSIVE)
    assert float((effects.mean - wanted).norm() / wanted.norm()) < 0.15  # .09


def test_a_target_that_does_not_depend_on_the_site_is_refused(tmp_path: Path) -> None:
    subject = tiny_subject()
    method = LocalInteractionBasis(target="resid_post.0")
    for name in ("resid_post.1", "mlp_in.1"):
        batches = tiny_batches(subject, name, tmp_path, 0)
        with pytest.raises(Mismatch, match=r"resid_post\.0 does not depend on"):
            method.fit(batches, subject.site(name), np.random.default_rng(0), subject=subject)
    vectors = iter([torch.randn(64, 16)])
    with pytest.raises(BadSettings, match="needs the sequences"):
        method.fit(vectors, subject.site("mlp_in.1"), np.random.default_rng(0), subject=subject)
