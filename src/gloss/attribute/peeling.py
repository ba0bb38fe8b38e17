"""Finds the sets behind a folded spectrum: who stands alone in a bin is read and taken away everywhere, until nobody does."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.attribute.spectral_design import Design, bits_of
from gloss.attribute.transforms import PlayerSet

ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Decoding:
    """How bins are read: so many of the least certain signs are tried both ways (Chase, 1972); 0 takes all signs as they are."""

    doubted: int = 5
    most_left: float = 0.9  # of a bin's energy, or else what was read does not stand alone there
    silence: float = 1e-6  # of the mean energy, below which a bin is empty


def peel(design: Design, values: Float64[ndarray, " mask"], asked: Decoding) -> dict[PlayerSet, float]:
    """The sets that were found, with their Fourier coefficients (Kang et al., 2025, algorithm 1)."""
    folded = design.folded(values)
    silence = asked.silence * float(np.square(folded).sum(2).mean())
    found: dict[PlayerSet, float] = {}
    fresh = np.ones(folded.shape[:2], bool)
    for _ in range(ROUNDS):
        group, bin_ = np.nonzero(fresh & (np.square(folded).sum(2) > silence))
        if not len(group):
            break
        fresh[:] = False
        members, heights = alone(design, folded[group, bin_], group, bin_, asked)
        for set_, height in merged(members, heights):
            found[set_] = found.get(set_, 0.0) + height
            take_away(design, folded, fresh, set_, height)
    return {set_: height for set_, height in found.items() if height != 0}


def alone(
    design: Design,
    content: Float64[ndarray, "bin shift"],
    group: Int64[ndarray, " bin"],
    bin_: Int64[ndarray, " bin"],
    asked: Decoding,
) -> tuple[Bool[ndarray, "read player"], Float64[ndarray, " read"]]:
    """The sets that explain their bins, one a bin at most, and their coefficients."""
    tried = tries(content, asked.doubted)  # bin, try, shift
    number = tried.shape[1]
    answers = tried[:, :, 1:] ^ tried[:, :, :1]
    flat, which = np.unique(answers.reshape(-1, answers.shape[2]), axis=0, return_inverse=True)
    members, exists = design.code.read(flat)
    homes, signs = design.bins_of(members), design.signs_of(members)
    which = which.reshape(len(content), number)
    heights = np.einsum("bs,bts->bt", content, signs[which]) / content.shape[1]
    belongs = exists[which] & (homes[group[:, None], which] == bin_[:, None])
    explained = np.where(belongs, content.shape[1] * heights**2, 0.0)
    best = explained.argmax(1)
    rows = np.arange(len(content))
    enough = explained[rows, best] > (1 - asked.most_left) * np.square(content).sum(1)
    chosen = which[rows, best][enough]
    return members[chosen], heights[rows, best][enough]


def tries(content: Float64[ndarray, "bin shift"], doubted: int) -> Bool[ndarray, "bin try shift"]:
    """Each bin's signs, as bits, with every choice of the least certain ones turned round."""
    doubted = min(doubted, content.shape[1])
    turned = np.zeros((len(content), 2**doubted, content.shape[1]), bool)
    least = np.argsort(np.abs(content), axis=1, kind="stable")[:, :doubted]
    choices = bits_of(np.arange(2**doubted), doubted)
    np.put_along_axis(turned, np.broadcast_to(least[:, None], (len(content), *choices.shape)), choices[None], axis=2)
    return turned ^ (content < 0)[:, None]


def merged(members: Bool[ndarray, "read player"], heights: Float64[ndarray, " read"]) -> list[tuple[PlayerSet, float]]:
    """Sets that were read in several bins once, with the mean of what was read."""
    sets, which = np.unique(members, axis=0, return_inverse=True)
    means = np.bincount(which.ravel(), heights) / np.bincount(which.ravel())
    return [(tuple(np.flatnonzero(row).tolist()), float(mean)) for row, mean in zip(sets, means, strict=True)]


def take_away(
    design: Design, folded: Float64[ndarray, "group bin shift"], fresh: Bool[ndarray, "group bin"], set_: PlayerSet, height: float
) -> None:
    """Subtract a set from its bin in every group, and mark those bins to be looked at again."""
    row = np.zeros((1, design.code.players), bool)
    row[0, list(set_)] = True
    groups, homes = np.arange(len(folded)), design.bins_of(row)[:, 0]
    folded[groups, homes] -= height * design.signs_of(row)
    fresh[groups, homes] = True
