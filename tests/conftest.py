"""What every test may use."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import checked_calls  # noqa: F401  # before gloss
from gloss.errors import BadInput
from gloss.installed import installed
from gloss.models.bundled import SMOLLM2, model_place
from plain_reports import pytest_report_to_serializable  # noqa: F401

Make = Callable[[Path], None]
gc.disable()  # until all is collected, of which nearly nothing is garbage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest of the last modules come first, so that no process is left alone with one."""
    items.sort(key=lambda item: item.path.name not in ("test_contributing.py", "test_site.py"))


def pytest_collection_finish() -> None:
    """What was imported stays, and is not looked through again at every few tests."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Path]:
    """Makes a folder that all of the session's processes read: the first makes it, the others wait.

    Who wants to change it, or to run a command in it, copies it first.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, make: Make) -> Path:
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not (done := shared / f"{name}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real models and texts; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("GLOSS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no folder of real models and texts at {folder}; set GLOSS_DATA to one")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """A real model, SmolLM2-135M-Instruct, in one GGUF file.

    Tests that need it are skipped where it is not installed.
    """
    for package in ("gguf", "accelerate"):
        pytest.importorskip(
            package, reason=f"{package} is not installed; pip install 'gloss-lm[real]'"
        )
    try:
        return Path(model_place(SMOLLM2))
    except BadInput as error:
        pytest.skip(str(error))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., None]]:
    """Makes a module findable, here and in processes that are started, as a package of somebody
    else that offers entry points: `install("toy", text, "gloss.score", brevity="toy:Brevity")`.
    """
    places = tmp_path / "site-packages"

    def put(package: str, text: str, group: str, **points: str) -> None:
        info = places / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (places / f"{package}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(places)
        if str(places) not in os.environ.get("PYTHONPATH", ""):
            monkeypatch.setenv("PYTHONPATH", str(places), prepend=os.pathsep)
        monkeypatch.delitem(sys.modules, package, raising=False)
        installed.cache_clear()

    yield put
    installed.cache_clear()
