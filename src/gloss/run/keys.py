"""What a result depends on, as a short hash: equal keys mean that a finished result may be used
again.
"""

import ast
import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gloss.installed import __version__, is_own
from gloss.models.pretrained.hub import hub_snapshot, is_local_path
from gloss.store.digests import cached_file_digest
from gloss.store.named_parts import split_part_name


def result_key(*parts: Any) -> str:
    """Twelve hexadecimal digits that stand for these values and for the version of gloss."""
    content = json.dumps([__version__, *parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def fingerprint(path: Path, *, deep: bool = True) -> str:
    """A hash of a file's whole content, or of the names and contents of all files in a folder, or
    only right in it.

    What is neither file nor folder, such as a device, counts by its name and is not read. Raises
    BadInput.
    """
    whole = hashlib.sha256()
    inside = path.rglob("*") if deep else path.iterdir()
    for file in sorted(inside) if path.is_dir() else [path]:
        if file.is_file():
            name = file.relative_to(path) if path.is_dir() else file.name
            whole.update(f"{name}\0{cached_file_digest(file)}\0".encode())
        elif not file.is_dir():
            whole.update(f"{file}\0".encode())
    return whole.hexdigest()


def source_hash(source: str) -> str:
    """What stands behind a source: the hash of a file or folder, also where `#column` is behind it.

    Otherwise its name.
    """
    path, _ = split_part_name(source)
    return fingerprint(Path(path)) if os.path.exists(path) else source  # noqa: PTH110  Path raises for some names


def model_hash(source: str, revision: str = "") -> str:
    """What stands behind a model: the hash of its file or folder, or the commit that the revision
    of a name on the hub is now.

    Raises BadInput where the hub gives none.
    """
    return (
        weights_hash(source)
        if is_local_path(source)
        else hub_snapshot(source, revision or None).name
    )


def weights_hash(folder: str) -> str:
    """The hash of a model or an adapter: of a file, or of all files right in a folder, where
    everything that is read lies.
    """
    path = os.path.expanduser(folder)  # noqa: PTH111
    return fingerprint(Path(path), deep=False) if os.path.exists(path) else folder  # noqa: PTH110


def code_hash(point: EntryPoint) -> str:
    """The hash of the sources and prompts of a stranger's package, so that a method that is changed
    works anew; "" for gloss' own, for which its version stands.
    """
    if is_own(point):
        return ""
    spec = find_spec(point.module.partition(".")[0])
    places = (spec.submodule_search_locations or [spec.origin or ""]) if spec else []
    whole = hashlib.sha256()
    for place in map(Path, places):
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix in (".py", ".yaml"):
                whole.update(f"{file.name}\0{cached_file_digest(file)}\0".encode())
    return whole.hexdigest()


def deep_code_hash(point: EntryPoint) -> str:
    """The hash of everything that a method's code is: of one of gloss' own its module, all of gloss
    that this imports, however far, and the data beside it; of a stranger's the whole package.
    """
    return module_hash(point.module) if is_own(point) else code_hash(point)


def module_hash(module: str) -> str:
    """The hash of a module of gloss, all of gloss that it imports, however far, and the data beside
    it; "" where gloss has no source files, as in a zip: then its version stands for it.
    """
    sources = imported_sources(module)
    if not sources:
        return ""
    data = (file for file in sources[0].parent.rglob("*") if file.suffix in (".json", ".yaml"))
    digests = [f"{file.name} {cached_file_digest(file)}" for file in (*sources, *sorted(data))]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


@cache
def imported_sources(module: str) -> tuple[Path, ...]:
    """The file of a module, and those of all modules of its package that it imports, and they
    import; nothing is run.

        >>> [file.name for file in imported_sources("gloss.evaluate.tasks")]
        ['tasks.py', 'words.py']
    """
    package, *_ = module.split(".")
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    root = Path((spec.submodule_search_locations or ["."])[0])
    found, named = dict[Path, None](), [module]
    for name in named:  # which grows
        first, *inner = name.split(".")
        place = root.joinpath(*inner)
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if first == package and file not in found and file.is_file():
            found[file] = None
            named += imported_by(file)
    return tuple(found)


@cache
def imported_by(file: Path) -> tuple[str, ...]:
    """What a source file imports."""
    return tuple(imported_names(file.read_text("utf-8")))


def imported_names(source: str) -> Iterator[str]:
    """What a module's source imports, by whole names: modules, and what may be one.

    >>> [*imported_names("import os.path\\nfrom json import dumps")]
    ['os.path', 'json', 'json.dumps']
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
