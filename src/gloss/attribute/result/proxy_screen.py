"""What a proxy gave to an attribution, and what it cost: said whether it helped or not."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from gloss.records import Estimate


@dataclass(frozen=True, slots=True)
class ProxyScreen:
    """A proxy of the game that was asked about, and both accounts from the same asked values."""

    name: str
    values: int  # that were asked of the proxy
    own_r2: float  # of the proxy's own account among its half-kept masks
    # Pearson's, of the proxy's values with those of the game on the same masks
    correlation: float  # that keep half
    near_correlation: float  # near the whole; not a number where there were none
    with_r2: tuple[Estimate, Estimate]  # half kept and near the whole
    without_r2: tuple[Estimate, Estimate]
    used: bool  # whether the account has it; else it is the one without

    @property
    def sentence(self) -> str:
        """All of it."""
        near = (
            f", {self.near_correlation:.2f} near the whole"
            if not math.isnan(self.near_correlation)
            else ""
        )
        half = [f"{each[0].value:.2f}" for each in (self.with_r2, self.without_r2)]
        said = (
            f"The proxy {self.name} ({self.values:,} values, its own account has R2"
            f" {self.own_r2:.2f}) correlates {self.correlation:.2f} among masks that keep"
            f" half{near}. From the same values R2 is {half[0]} with it and {half[1]} without"
        )
        if not math.isnan(self.with_r2[1].value):
            ends = [f"{each[1].value:.2f}" for each in (self.with_r2, self.without_r2)]
            said += f", near the whole {ends[0]} and {ends[1]}"
        return f"{said}{'' if self.used else '; that is no clear gain, so it is left out'}."

    def as_json(self) -> dict[str, Any]:
        """For the record; null where there is no number."""
        return {name: plain(value) for name, value in asdict(self).items()}


def plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
