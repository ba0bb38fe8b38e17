"""Stage `sites`: to which sites each of the run's features belongs, of a dictionary of several."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from gloss.errors import BadInput
from gloss.pages.page_records import FeaturePage
from gloss.pages.report_sections import Facts, Grid, Section
from gloss.run.dependencies import chosen_features
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.reporting.run_data import RunData
from gloss.run.sources import dictionary_folder, writes_several_sites
from gloss.run.stage import Job, Stage, Step, Where
from gloss.store.record_rows import feature_columns
from gloss.store.schemas import FEATURE

if TYPE_CHECKING:
    from torch import Tensor


ALONE = 0.9  # the share of a site from which a feature counts as its own
LEAD = (
    "How much of each feature is written at each site: the norm of its decoder direction there, in"
    " the scale of the site, over the sum of all."
)


class SitesStage(Stage):
    """The shares of the sites in each of the run's features."""

    name, after = "sites", ("collect",)
    tables: ClassVar = {
        "site_shares": pa.schema([*FEATURE, ("site", pa.string()), ("share", pa.float32())])
    }
    where = Where.DEVICE
    spreads = False  # each process would load the dictionary

    def steps(self, asked: Experiment) -> Iterator[Step]:
        if writes_several_sites(asked.decompose):
            yield from super().steps(asked)

    def content(self, asked: Experiment, step: Step) -> Any:
        return chosen_features(asked)

    def worker(self, job: Job) -> Callable[[int], None]:
        return ShareWriter(job)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        shares: dict[str, list[float]] = {}
        for row in found.run.rows(self.name, "site_shares"):
            shares.setdefault(row["site"], []).append(row["share"])
        rows = tuple(
            (
                site,
                f"{np.mean(each):.3f}",
                f"{sum(share >= ALONE for share in each)} of {len(each)}",
            )
            for site, each in shares.items()
        )
        if rows:
            columns = ("site", "mean share", f"features with {ALONE} or more of it")
            yield Section("Sites", LEAD, (Grid(columns, rows),))

    def page_fragment(
        self, run: OpenedRun, step: Step, shard: int
    ) -> Callable[[FeaturePage], FeaturePage]:
        shares: dict[int, list[tuple[str, str]]] = {}
        for row in run.rows(self.name, "site_shares", shard):
            shares.setdefault(row["feature"], []).append((row["site"], f"{row['share']:.2f}"))

        def add(page: FeaturePage) -> FeaturePage:
            if page.feature.index not in shares:
                return page
            told = Section("Sites", LEAD, (Facts(tuple(shares[page.feature.index])),))
            return replace(page, sections=(*page.sections, told))

        return add


class ShareWriter:
    """Writes the shares of a shard's features; the dictionary is loaded once."""

    def __init__(self, job: Job) -> None:
        self.job, self.run = job, job.run

    def __call__(self, shard: int) -> None:
        """Write one shard."""
        sites, shares = self.shares
        rows = [
            feature_columns(feature) | {"site": site, "share": share}
            for feature in self.run.shard(shard)
            for site, share in zip(sites, shares[feature.index].tolist(), strict=True)
            if len(sites) > 1  # at one alone there is nothing to tell
        ]
        self.job.guard(shard).write({"site_shares": rows})

    @cached_property
    def shares(self) -> "tuple[list[str], Tensor]":
        """The sites, and their shares in each feature of the dictionary."""
        from gloss.models.formats import load_dictionary
        from gloss.models.joint_coder import JointCoder
        from gloss.models.sites import parse_site, parts_of

        asked = self.run.experiment.decompose
        site = "" if "method" in asked else asked.get("site", "")
        found = load_dictionary(dictionary_folder(self.run), parse_site(site) if site else None)
        if not isinstance(found, JointCoder):
            raise BadInput(
                f"{dictionary_folder(self.run)} is no dictionary of several sites; leave"
                f" {site or 'sites'} out of [decompose]"
            )
        return [str(site) for site in parts_of(found.writes)], found.site_shares
