"""How strong an intervention must be to move the next token's distribution by so many nats (Paulo
et al., 2024, section 3.3).

Effects of two features can be compared at equal KL only: the same strength is a whisper for one and
a shout for another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gloss.errors import BadSettings
from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import Intervention
from gloss.records import EditKind, Estimate, Failure, FeatureId, Reason
from gloss.statistics.intervals import mean_with_interval

PASSES = 12  # over all prompts, the clean one not counted
TOLERANCE = 0.1  # share of the target by which the KL may differ
FIRST_STRENGTH = 0.5  # tried first: so many times the length of the vectors that are changed
WIDEST_STEP = 8.0  # step while nothing is known of the other side
# beyond it the vectors are all edit, and nothing more happens
LARGEST_STRENGTH = FIRST_STRENGTH * WIDEST_STEP**5
SMALLEST_STRENGTH = FIRST_STRENGTH / WIDEST_STEP**8


@dataclass(frozen=True, slots=True)
class StrengthCalibration:
    """A strength that reaches a target."""

    strength: float
    target: float  # nats
    kl: Estimate  # KL(clean ‖ edited) in nats: the mean over prompts
    passes: int  # that it took


def calibrate_strength(
    baseline: Baseline,
    intervention: Intervention,
    target: float,
    feature: FeatureId,
    passes: int = PASSES,
) -> StrengthCalibration | Failure:
    """The strength at which the mean KL(clean ‖ edited) is within a tenth of `target` nats.

    Follows KL ~ strength² until the target lies between two strengths, then interpolates
    and bisects between them. A target that no strength reaches, or that is not met in so many
    passes, is a Failure that says how far it went. Raises BadSettings for a target that is not
    positive, and for an intervention that has no strength.
    """
    [found] = calibrate_strengths(baseline, intervention, (target,), feature, passes)
    return found


def calibrate_strengths(
    baseline: Baseline,
    intervention: Intervention,
    targets: Sequence[float],
    feature: FeatureId,
    passes: int = PASSES,
) -> list[StrengthCalibration | Failure]:
    """The same for several targets, in their order; what one search has seen the next one knows."""
    seen: dict[float, float] = {}
    return [
        search_strength(baseline, intervention, target, feature, passes, seen) for target in targets
    ]


def search_strength(
    baseline: Baseline,
    intervention: Intervention,
    target: float,
    feature: FeatureId,
    passes: int,
    seen: dict[float, float],
) -> StrengthCalibration | Failure:
    """One target; `seen` are the KLs by strength that are known, and gets those that are found."""
    if not (target > 0 and math.isfinite(target)):
        raise BadSettings(
            f"a target of {target:g} nats cannot be calibrated to; give a number above 0, as 0.1"
            " or 1"
        )
    if intervention.edit is EditKind.ABLATE:
        raise BadSettings(
            "ablating a feature has no strength to calibrate; measure its effect as it is, or add"
            " to the feature"
        )
    if intervention.unit == 0:
        return unreachable_target(feature, target, "its direction is 0, so that it moves nothing")
    unit = baseline.size / intervention.unit or 1.0
    search = StrengthSearch.from_known(target, seen)
    for done in range(1, passes + 1):
        strength = search.next() * unit
        found = mean_with_interval(
            baseline.kl(baseline.edited(intervention, strength)).numpy(), least=0.0
        )
        seen[strength / unit] = found.value
        if abs(found.value - target) <= TOLERANCE * target:
            return StrengthCalibration(strength, target, found, done)
        search.record(strength / unit, found.value)
        if search.is_over:
            break
    return unreachable_target(feature, target, search.describe_failure(unit))


def unreachable_target(feature: FeatureId, target: float, why: str) -> Failure:
    return Failure(feature, "intervene", Reason.UNREACHABLE, f"{target:g} nats: {why}")


@dataclass(slots=True)
class StrengthSearch:
    """What is known of a KL that grows, more or less, with strength: the nearest points below and
    above the target.
    """

    target: float
    below: tuple[float, float] | None = None  # strength, KL
    above: tuple[float, float] | None = None
    tried: int = 0
    most: float = 0.0  # the largest KL seen

    @staticmethod
    def from_known(target: float, seen: Mapping[float, float]) -> "StrengthSearch":
        """A search that begins between the first known point that is above the target and the one
        before it.
        """
        search = StrengthSearch(target)
        for strength, kl in sorted(seen.items()):
            if not kl < target:
                search.above = (strength, kl)
                break
            search.below = (strength, kl)
        search.most = max((kl for kl in seen.values() if math.isfinite(kl)), default=0.0)
        return search

    def next(self) -> float:
        """The strength to try."""
        if self.below and self.above:
            return self._between(self.below, self.above)
        if self.below:
            # Wider each time: a KL that has nearly stopped growing would otherwise be followed in
            # ever smaller steps.
            return self.below[0] * min(
                WIDEST_STEP, max(self._square_law(self.below[1]), 0.75 * 2**self.tried)
            )
        if self.above:
            return self.above[0] * max(
                1 / WIDEST_STEP, min(self._square_law(self.above[1]), 1 / (0.75 * 2**self.tried))
            )
        return FIRST_STRENGTH

    def record(self, strength: float, kl: float) -> None:
        """Take in what was measured.

        A KL that is not a number is that of a subject which the edit has overflown.
        """
        self.tried += 1
        if math.isfinite(kl):
            self.most = max(self.most, kl)
        if kl < self.target:
            self.below = (strength, kl)
        else:
            self.above = (strength, kl)

    @property
    def is_over(self) -> bool:
        """Whether the target is out of reach on either side."""
        if self.above is None:
            return self.below is not None and self.below[0] >= LARGEST_STRENGTH
        return self.below is None and self.above[0] <= SMALLEST_STRENGTH

    def describe_failure(self, unit: float) -> str:
        """How far it went, for people."""
        if self.above is None and self.below is not None:
            return (
                f"no more than {self.most:.3g} were reached, at strengths of up to"
                f" {self.below[0] * unit:.3g}"
            )
        if self.below is None and self.above is not None:
            return (
                f"no less than {self.above[1]:.3g} were reached, at strengths down to"
                f" {self.above[0] * unit:.3g}"
            )
        (weak, little), (strong, much) = self.below or (0.0, 0.0), self.above or (0.0, 0.0)
        return (
            f"between {little:.3g} at strength {weak * unit:.6g} and {much:.3g} at"
            f" {strong * unit:.6g} nothing nearer was found in {self.tried} passes"
        )

    def _square_law(self, kl: float) -> float:
        """The factor that would reach the target if the KL grew with the square of strength, as it
        does where it is small.
        """
        if kl == 0:
            return WIDEST_STEP
        return math.sqrt(self.target / kl) if math.isfinite(kl) else 1 / WIDEST_STEP

    def _between(self, below: tuple[float, float], above: tuple[float, float]) -> float:
        """A line through both points on logarithmic scales, every other time their middle.

        It is never at an end.
        """
        share = 0.5
        if self.tried % 3 != 0 and below[1] > 0 and math.isfinite(above[1]):
            share = math.log(self.target / below[1]) / math.log(above[1] / below[1])
        share = min(0.95, max(0.05, share))
        return below[0] ** (1 - share) * above[0] ** share
