"""Files of a repository on the hub, fetched into its cache: only those that one dictionary needs.

The hub's own settings hold: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`, tokens, progress bars.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gloss.errors import BadInput, error_cause

SAFETENSORS, NUMPY, PICKLES = ".safetensors", ".npz", (".pt", ".pth", ".bin")
TENSORS, SETTINGS = (SAFETENSORS, NUMPY, *PICKLES), (".json", ".yaml")
BELOW = ("checkpoints/final.safetensors",)  # of Llama Scope, in the folder's own folder
OUT_OF_ORDER = (408, 429, *range(500, 600))  # answers of a hub that says nothing of the name
MOST = 3  # files of tensors in a folder that is fetched whole
OTHER_KINDS = ("datasets", "spaces", "buckets")  # of repositories
# A path that has gone through pathlib has lost one of the strokes.
NAME = re.compile(
    r"hf:/{1,2}(?P<repository>[^/@#]+/[^/@#]+)(?:/(?P<path>[^@#]*))?"
    r"(?:@(?P<revision>[^#]+))?(?:#(?P<part>.+))?"
)


@dataclass(frozen=True, slots=True)
class HubName:
    """`hf://owner/repository/path@revision#part`: a folder or a file of a repository."""

    repository: str
    path: str = ""
    revision: str = ""
    part: str = ""

    @staticmethod
    def parse(name: str) -> "HubName":
        """Raises BadInput for what does not name a repository."""
        found = NAME.fullmatch(name)
        if found is None:
            raise BadInput(
                f"{name} names no repository; write hf://owner/repository/path, and @revision"
                " behind it for another than main"
            )
        parts = {key: value or "" for key, value in found.groupdict().items()}
        return HubName(**parts | {"path": parts["path"].strip("/")})

    def __str__(self) -> str:
        path = f"/{self.path}" if self.path else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repository}{path}{revision}"


def is_hub_name(name: str) -> bool:
    """Whether it begins as names of models do; `hf://datasets/...` is a place where runs live."""
    first = re.match(r"hf:/{1,2}([^/]*)", name)
    return bool(first and first[1] not in OTHER_KINDS)


def fetch_from_hub(name: HubName) -> tuple[Path, str]:
    """The folder or file on this machine, fetched where it is not, and the commit that it is of.

    Without a network it is what was fetched before. Raises BadInput where there is nothing.
    """
    listing = _listed_files(name)
    if listing is None:
        return _cached(name)
    commit, files = listing
    wanted = list(_wanted(name, files))
    try:
        roots = {_fetched(name, commit, file) for file in wanted}
    except Exception as error:  # a network raises anything
        raise BadInput(
            f"{name} could not be fetched: {error_cause(error)}; what has come so far is kept, and"
            " the same command goes on"
        ) from error
    if len(roots) > 1:
        raise BadInput(f"{name} changed on the hub while it was fetched; give the same command")
    root = roots.pop()
    return root / name.path, root.name


def _listed_files(name: HubName) -> tuple[str, list[str]] | None:
    """The commit and its files; None where the hub cannot be asked.

    Raises BadInput where it has no such repository or revision, or does not give it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]  of whatever it speaks through
    )

    try:
        info = HfApi().model_info(name.repository, revision=name.revision or None)
    except (OSError, HTTPError, HFValidationError) as error:
        answer = error.response if isinstance(error, HfHubHTTPError) else None
        out_of_order = answer is not None and answer.status_code in OUT_OF_ORDER
        if not isinstance(error, HfHubHTTPError | HFValidationError) or out_of_order:
            return None
        raise BadInput(
            f"{name} cannot be had from the hub: {error_cause(error)}; check its name, its revision"
            " and, where it is gated, your token (hf auth login)"
        ) from error
    return str(info.sha), [each.rfilename for each in info.siblings or []]


def _cached(name: HubName) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download

    try:
        root = Path(
            snapshot_download(
                name.repository, revision=name.revision or None, local_files_only=True
            )
        )
    except Exception as error:
        # of a repository that was fetched in part, which is all that one dictionary needs
        if (partial := getattr(error, "snapshot_path", None)) is None:
            raise BadInput(
                f"{name} was not fetched before, and the hub cannot be asked now"
                f" ({error_cause(error)}); check the network, HF_HUB_OFFLINE and HF_ENDPOINT"
            ) from error
        root = Path(partial)
    if not (root / name.path).exists():
        raise BadInput(
            f"{name} was not fetched before, and the hub cannot be asked now; of its repository"
            f" there is {root}"
        )
    return root / name.path, root.name


def _fetched(name: HubName, commit: str, file: str) -> Path:
    """The root of the snapshot in which the file lies now."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    path = try_to_load_from_cache(name.repository, file, revision=commit)
    if not isinstance(path, str):
        path = hf_hub_download(name.repository, file, revision=name.revision or None)
    return Path(path).parents[len(PurePosixPath(file).parts) - 1]


def _wanted(name: HubName, files: Sequence[str]) -> Iterator[str]:
    """The files of one dictionary. Raises BadInput where there is none, or more than one."""
    if name.path in files:
        yield name.path
        above = PurePosixPath(name.path).parent
        for file in files:
            place = PurePosixPath(file)
            if place.suffix in SETTINGS and place.parent in (above, above.parent):
                yield file
        return
    inside = f"{name.path}/" if name.path else ""
    there = [file.removeprefix(inside) for file in files if file.startswith(inside)]
    right_in = [file for file in there if "/" not in file or file in BELOW]
    tensors = [file for file in right_in if PurePosixPath(file).suffix in TENSORS]
    if name.part:
        tensors = [file for file in tensors if name.part in (file, file.partition(".")[0])]
    if not tensors:
        folders = sorted({file.rpartition("/")[0] for file in there if "/" in file})
        shown = ", ".join(folders[:8]) + (", ..." if len(folders) > 8 else "")
        raise BadInput(
            f"{name} holds no file of tensors{f' of the name {name.part}' if name.part else ''}"
            f" ({len(files)} files in the repository"
            f"{f'; there are the folders {shown}' if folders else ''}); name the folder, or the"
            " file, of one dictionary"
        )
    if len(tensors) > MOST:
        raise BadInput(
            f"{name} holds {len(tensors)} files of tensors; name one, as in"
            f" hf://{name.repository}/{inside}{tensors[0]}"
        )
    settings = [file for file in right_in if PurePosixPath(file).suffix in SETTINGS]
    yield from (inside + file for file in (*tensors, *settings))
