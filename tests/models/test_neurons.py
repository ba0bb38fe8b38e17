import pytest
import torch

from gloss.errors import BadSettings, Mismatch
from gloss.models.dictionary import require_fit
from gloss.models.neurons import Neurons, neurons_at
from gloss.models.sparse_codes import LargestK
from gloss.models.subject import Subject


def test_neurons_reconstruct_their_projection_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    projection = torch.nn.Linear(5, 3)
    neurons = Neurons(1, projection.weight.detach().T.contiguous(), projection.bias.detach())
    x = torch.randn(20, 5, generator=generator)
    torch.testing.assert_close(neurons.reconstruct(x), projection(x).detach())
    assert (neurons.width, str(neurons.reads), str(neurons.writes)) == (
        10,
        "mlp_act.1",
        "mlp_raw.1",
    )


def test_a_neurons_tails_are_two_features_with_positive_values() -> None:
    neurons = Neurons(0, torch.eye(2), torch.zeros(2))
    codes = neurons.encode(torch.tensor([[2.0, -3.0]]))
    assert codes.dense(4).tolist() == [[2, 0, 0, 3]]
    assert neurons.decoder_directions.tolist() == [[1, 0], [-1, 0], [0, 1], [0, -1]]
    torch.testing.assert_close(
        codes.dense(4) @ neurons.decoder_directions, torch.tensor([[2.0, -3.0]])
    )


def test_the_strongest_neurons_alone_can_be_kept() -> None:
    neurons = Neurons(0, torch.eye(3), torch.zeros(3), LargestK(1))
    assert neurons.reconstruct(torch.tensor([[1.0, -4.0, 2.0]])).tolist() == [[0, -4, 0]]


def test_every_familys_neurons_reconstruct_what_its_mlp_gives(
    subject: Subject, tokens: torch.Tensor
) -> None:
    neurons = Neurons.of(subject, 1)
    require_fit(neurons, subject)
    found = subject.run(tokens, read=(neurons.reads, neurons.writes)).activations
    x, y = (found[site].flatten(0, 1) for site in (neurons.reads, neurons.writes))
    torch.testing.assert_close(neurons.reconstruct(x), y, rtol=1e-4, atol=1e-4)


def test_neurons_of_a_layer_that_is_not_there_are_refused(llama: Subject) -> None:
    with pytest.raises(Mismatch, match=r"mlp_act\.7: the model has 3 layers"):
        Neurons.of(llama, 7)


def test_neurons_of_another_model_are_refused_with_both_widths(llama: Subject) -> None:
    with pytest.raises(
        Mismatch, match=r"reads vectors of 5 numbers.*mlp_act\.0 holds vectors of 48"
    ):
        require_fit(Neurons(0, torch.ones(5, 32), torch.zeros(32)), llama)


@pytest.mark.parametrize("where", ["mlp_act.1", "resid_post.1", "mlp_out.0"])
def test_so_many_neurons_of_each_token_are_kept_and_all_rebuild_the_vector(
    where: str, llama: Subject, tokens: torch.Tensor
) -> None:
    site = llama.site(where)
    every, kept = neurons_at(llama, site), neurons_at(llama, site, keep=4)
    require_fit(kept, llama)
    found = llama.run(tokens, read=(every.reads, every.writes)).activations
    x, y = (found[each].flatten(0, 1) for each in (every.reads, every.writes))
    torch.testing.assert_close(every.reconstruct(x), y, rtol=1e-4, atol=1e-4)
    codes = kept.encode(x)
    assert codes.used.sum(1).tolist() == [4] * len(x)
    signed = codes.dense(kept.width)[:, ::2] - codes.dense(kept.width)[:, 1::2]
    wanted = x.float() * (x.abs() >= x.abs().topk(4, dim=1).values[:, -1:])
    torch.testing.assert_close(signed, wanted)


def test_more_neurons_than_there_are_cannot_be_kept(llama: Subject) -> None:
    with pytest.raises(BadSettings, match=r"keep is 99, and resid_post\.0 has 32 neurons"):
        neurons_at(llama, llama.site("resid_post.0"), keep=99)
