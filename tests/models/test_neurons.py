import pytest
import torch

from gloss.errors import Mismatch
from gloss.models.dictionary import require_fit
from gloss.models.neurons import Neurons
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
