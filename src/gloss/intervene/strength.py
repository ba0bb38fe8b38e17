"""How strong an intervention must be to move the next token's distribution by so many nats (Paulo et al., 2024, section 3.3).

Effects of two features can be compared at equal divergence only: the same strength is a whisper for one and a shout for another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gloss.errors import BadSettings
from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import Intervention
from gloss.intervene.estimates import mean_with_interval
from gloss.records import Deed, Estimate, Failure, FeatureId, Reason

PASSES = 12  # over all prompts, the clean one not counted
TOLERANCE = 0.1  # share of the target by which the divergence may differ
FIRST = 0.5  # tried first: so many times the length of the vectors that are changed
WIDEST = 8.0  # step while nothing is known of the other side
LARGEST = FIRST * WIDEST**5  # beyond it the vectors are all edit, and nothing more happens
SMALLEST = FIRST / WIDEST**8


@dataclass(frozen=True, slots=True)
class Calibration:
    """A strength that reaches a target."""

    strength: float
    target: float  # nats
    divergence: Estimate  # KL(clean ‖ edited) in nats: the mean over prompts
    passes: int  # that it took


def calibrate(
    baseline: Baseline, intervention: Intervention, target: float, feature: FeatureId, passes: int = PASSES
) -> Calibration | Failure:
    """The strength at which the mean KL(clean ‖ edited) is within a tenth of `target` nats.

    Follows divergence ~ strength² until the target lies between two strengths, then interpolates and bisects between them.
    A target that no strength reaches, or that is not met in so many passes, is a Failure that says how far it went.
    Raises BadSettings for a target that is not positive, and for an intervention that has no strength.
    """
    [found] = calibrate_all(baseline, intervention, (target,), feature, passes)
    return found


def calibrate_all(
    baseline: Baseline, intervention: Intervention, targets: Sequence[float], feature: FeatureId, passes: int = PASSES
) -> list[Calibration | Failure]:
    """The same for several targets, in their order; what one search has seen the next one knows."""
    seen: dict[float, float] = {}
    return [searched(baseline, intervention, target, feature, passes, seen) for target in targets]


def searched(
    baseline: Baseline, intervention: Intervention, target: float, feature: FeatureId, passes: int, seen: dict[float, float]
) -> Calibration | Failure:
    """One target; `seen` are the divergences by strength that are known, and gets those that are found."""
    if not (target > 0 and math.isfinite(target)):
        raise BadSettings(f"a target of {target:g} nats cannot be calibrated to; give a number above 0, as 0.1 or 1")
    if intervention.deed is Deed.ABLATE:
        raise BadSettings("ablating a feature has no strength to calibrate; measure its effect as it is, or add to the feature")
    if intervention.unit == 0:
        return unreached(feature, target, "its direction is 0, so that it moves nothing")
    unit = baseline.size / intervention.unit or 1.0
    search = Search.knowing(target, seen)
    for done in range(1, passes + 1):
        strength = search.next() * unit
        found = mean_with_interval(baseline.divergence(baseline.edited(intervention, strength)).numpy(), least=0.0)
        seen[strength / unit] = found.value
        if abs(found.value - target) <= TOLERANCE * target:
            return Calibration(strength, target, found, done)
        search.tell(strength / unit, found.value)
        if search.is_over:
            break
    return unreached(feature, target, search.story(unit))


def unreached(feature: FeatureId, target: float, why: str) -> Failure:
    return Failure(feature, "intervene", Reason.UNREACHABLE, f"{target:g} nats: {why}")


@dataclass(slots=True)
class Search:
    """What is known of a divergence that grows, more or less, with strength: the nearest points below and above the target."""

    target: float
    below: tuple[float, float] | None = None  # strength, divergence
    above: tuple[float, float] | None = None
    told: int = 0
    most: float = 0.0  # the largest divergence seen

    @staticmethod
    def knowing(target: float, seen: Mapping[float, float]) -> "Search":
        """A search that begins between the first known point that is above the target and the one before it."""
        search = Search(target)
        for strength, divergence in sorted(seen.items()):
            if not divergence < target:
                search.above = (strength, divergence)
                break
            search.below = (strength, divergence)
        search.most = max((divergence for divergence in seen.values() if math.isfinite(divergence)), default=0.0)
        return search

    def next(self) -> float:
        """The strength to try."""
        if self.below and self.above:
            return self._between(self.below, self.above)
        if self.below:
            # Wider each time: a divergence that has nearly stopped growing would otherwise be followed in ever smaller steps.
            return self.below[0] * min(WIDEST, max(self._square_law(self.below[1]), 0.75 * 2**self.told))
        if self.above:
            return self.above[0] * max(1 / WIDEST, min(self._square_law(self.above[1]), 1 / (0.75 * 2**self.told)))
        return FIRST

    def tell(self, strength: float, divergence: float) -> None:
        """Take in what was measured; a divergence that is not a number is that of a subject which the edit has overflown."""
        self.told += 1
        if math.isfinite(divergence):
            self.most = max(self.most, divergence)
        if divergence < self.target:
            self.below = (strength, divergence)
        else:
            self.above = (strength, divergence)

    @property
    def is_over(self) -> bool:
        """Whether the target is out of reach on either side."""
        if self.above is None:
            return self.below is not None and self.below[0] >= LARGEST
        return self.below is None and self.above[0] <= SMALLEST

    def story(self, unit: float) -> str:
        """How far it went, for people."""
        if self.above is None and self.below is not None:
            return f"no more than {self.most:.3g} were reached, at strengths of up to {self.below[0] * unit:.3g}"
        if self.below is None and self.above is not None:
            return f"no less than {self.above[1]:.3g} were reached, at strengths down to {self.above[0] * unit:.3g}"
        (weak, little), (strong, much) = self.below or (0.0, 0.0), self.above or (0.0, 0.0)
        return (
            f"between {little:.3g} at strength {weak * unit:.6g} and {much:.3g} at {strong * unit:.6g} "
            f"nothing nearer was found in {self.told} passes"
        )

    def _square_law(self, divergence: float) -> float:
        """The factor that would reach the target if divergence grew with the square of strength, as it does where it is small."""
        if divergence == 0:
            return WIDEST
        return math.sqrt(self.target / divergence) if math.isfinite(divergence) else 1 / WIDEST

    def _between(self, below: tuple[float, float], above: tuple[float, float]) -> float:
        """A line through both points on logarithmic scales, every other time their middle; never at an end."""
        share = 0.5
        if self.told % 3 != 0 and below[1] > 0 and math.isfinite(above[1]):
            share = math.log(self.target / below[1]) / math.log(above[1] / below[1])
        share = min(0.95, max(0.05, share))
        return below[0] ** (1 - share) * above[0] ** share
