"""The labelled sets of English texts in the package `sae-probes` (Kantamneni et al., 2025, arXiv
2502.16681), a compressed table each, found without importing the package, which wants much more.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

PACKAGE = "sae_probes"
INSTALL = "`pip install --no-deps sae-probes==0.4.2`"
SUFFIX = ".csv.zst"


def installed_probe_sets() -> Mapping[str, Path]:
    """The file of each set, by its name, as `92_glue_sst2`; none where the package is not there."""
    found = find_spec(PACKAGE)
    places = (found.submodule_search_locations if found else None) or []
    files = sorted(
        file for place in places for file in Path(place).glob(f"data/cleaned_data/*{SUFFIX}")
    )
    return {file.name.removesuffix(SUFFIX): file for file in files}


def read_probe_set(path: Path) -> pa.Table:
    """One set: its texts are in the column `prompt`, what is known of each in `target`."""
    quoted = csv.ParseOptions(newlines_in_values=True)
    with pa.CompressedInputStream(str(path), "zstd") as file:
        return csv.read_csv(file, parse_options=quoted)
