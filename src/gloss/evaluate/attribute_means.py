"""A supervised dictionary of a task: what each value of each attribute adds to the mean vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.evaluate.tasks import TaskPrompt


@dataclass(frozen=True)
class AttributeMeans:
    """The mean of all prompts, and a vector for each value, all taken apart by least squares over
    one-hot attributes (Makelov et al., 2024, section 3).
    """

    centre: Float32[Tensor, " d"]
    values: Mapping[str, tuple[str, ...]]  # sorted, of each attribute
    vectors: Mapping[str, Float32[Tensor, "value d"]]  # in their order

    @staticmethod
    def of(prompts: Sequence[TaskPrompt], x: Float32[Tensor, "prompt d"]) -> "AttributeMeans":
        """Of these prompts' vectors."""
        names = sorted(prompts[0].attributes)
        values = {name: tuple(sorted({p.attributes[name] for p in prompts})) for name in names}
        columns = [
            value_numbers(prompts, name, values[name])[:, None] == torch.arange(len(values[name]))
            for name in names
        ]
        told = torch.cat(columns, 1).double()
        centre = x.mean(0)
        learned = torch.linalg.pinv(told - told.mean(0)) @ (x - centre).double()
        sizes = [len(values[name]) for name in names]
        vectors = {  # of an attribute over all prompts they come to nothing
            name: (part - share @ part).float()
            for name, part, share in zip(
                names, learned.split(sizes), told.mean(0).split(sizes), strict=True
            )
        }
        return AttributeMeans(centre, values, vectors)

    def added(self, prompts: Sequence[TaskPrompt], name: str) -> Float32[Tensor, "prompt d"]:
        """What each prompt's value of an attribute adds; nothing where it is a new one."""
        numbers = value_numbers(prompts, name, self.values[name])
        return self.vectors[name][numbers.clamp_min(0)] * (numbers >= 0)[:, None]

    def features(
        self, prompts: Sequence[TaskPrompt]
    ) -> tuple[Float32[Tensor, "prompt value"], Float32[Tensor, "value d"]]:
        """Every value of every attribute as a feature: which ones each prompt has, and what each
        adds.
        """
        has = [
            value_numbers(prompts, name, held)[:, None] == torch.arange(len(held))
            for name, held in self.values.items()
        ]
        return torch.cat(has, 1).float(), torch.cat([self.vectors[name] for name in self.values])

    def reconstruct(self, prompts: Sequence[TaskPrompt]) -> Float32[Tensor, "prompt d"]:
        """The mean, and what every attribute adds."""
        return self.centre + torch.stack([self.added(prompts, name) for name in self.values]).sum(0)


def value_numbers(prompts: Sequence[TaskPrompt], name: str, values: Sequence[str]) -> Tensor:
    """Of each prompt the place of its value among these; -1 for another."""
    places = {value: place for place, value in enumerate(values)}
    return torch.tensor([places.get(p.attributes[name], -1) for p in prompts])
