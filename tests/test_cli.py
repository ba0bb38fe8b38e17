"""The commands as a person types them: real processes, one sentence for what can be mended, exit
code 2.

Some begin as a shell begins them, the others in a process that is forked from one that has done the
slow imports.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gloss.models.bundled import embedded_folder
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.sites import Site
from run.small import ran

GLOSS = [sys.executable, "-c", "from gloss.cli import main; main()"]


def gloss(
    *arguments: object, cwd: Path, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    whole = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*GLOSS, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=whole, capture_output=True, text=True, timeout=240, preexec_fn=before
    )


def forked(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same, where the imports are done."""
    words = [*map(str, arguments)]
    return subprocess.CompletedProcess(words, *ran(cwd, *words, seconds=240))


def on_a_full_disk() -> None:
    """Let the process write no file beyond 100 kB, which the system refuses as it refuses to fill a
    disk.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("gloss: ")]
    assert len(told) == 1, done.stderr
    for part in said:
        assert part in told[0]


def experiment(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text('[run]\nfolder = "out"\nfeatures = 4\nprocesses = 1\n' + text)
    return path


def test_help_names_every_verb(tmp_path):
    told = gloss("--help", cwd=tmp_path).stdout
    for verb in (
        "demo",
        "run",
        "collect",
        "decompose",
        "sample",
        "explain",
        "score",
        "browse",
        "check",
        "evaluate",
        "status",
        "query",
        "cost",
        "probe",
        "steer",
    ):
        assert verb in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[subject]\nmodel = "no/such/folder"\n', ["no/such/folder"]),
        ('[decompose]\ndictionary = "no/such/dictionary"\n', ["no/such/dictionary"]),
        ('[collect]\ntexts = ["nothing.txt"]\n', ["nothing.txt does not exist"]),
        ('[collect]\ntexts = ["empty.txt"]\n', ["empty"]),
        ('[collect]\ntexts = ["latin.txt"]\n', ["latin.txt", "UTF-8"]),
        ("[colect]\n", ["did you mean 'collect'"]),
        ('[decompose]\nmethod = "topk"\nsite = "resid_post.1"\nwidth = 0\n', ["width"]),
        ('[decompose]\nmethod = "topk"\nsite = "resid_post.9"\n', ["resid_post.9"]),
        (
            '[decompose]\nmethod = "topk"\nsite = "resid_post.1"\nwidth = 99999999999\n',
            ["GiB", "smaller width"],
        ),
    ],
)
def test_bad_input_is_told_in_one_sentence_and_leaves_nothing_half_written(tmp_path, text, said):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("a text of caf\xe9s and then more of it".encode("latin-1"))
    refused(forked("run", experiment(tmp_path, text), cwd=tmp_path), *said)
    left = (
        [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        if (tmp_path / "out").exists()
        else []
    )
    assert not [path for path in left if "partial" in path.name or "collect" in path.parts]


def test_an_experiment_that_does_not_exist_is_refused(tmp_path):
    refused(forked("run", "nothing.toml", cwd=tmp_path), "nothing.toml cannot be read")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file stands where the run's folder would be")
    refused(forked("run", experiment(tmp_path, ""), cwd=tmp_path), "cannot write")


def test_a_folder_that_no_one_may_write_is_refused(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text('[run]\nfolder = "/proc/gloss/out"\n')
    refused(forked("run", path, cwd=tmp_path), "cannot write", "/proc/gloss")


def test_a_full_disk_is_told_and_nothing_is_left_half_written(tmp_path):
    path = experiment(tmp_path, "[collect]\nmax_tokens = 60000\n")
    refused(gloss("run", path, cwd=tmp_path, before=on_a_full_disk), "cannot write")
    assert not [left for left in tmp_path.rglob("*") if "partial" in left.name]


def stories(data_folder: Path, dictionary: str) -> str:
    subject = f'[subject]\nmodel = "{data_folder / "tinystories-656k"}"\n'
    return f'{subject}[collect]\ntexts = ["stdlib"]\n[decompose]\ndictionary = "{dictionary}"\n'


def test_a_dictionary_of_a_site_that_the_subject_lacks_is_refused(tmp_path, data_folder):
    path = experiment(tmp_path, stories(data_folder, "embedded"))
    refused(forked("run", path, cwd=tmp_path), "resid_post.2", "2 layers")


def test_a_dictionary_of_another_width_is_refused_with_both_shapes(tmp_path, data_folder):
    site = Site("resid_post", 1)
    save_dictionary(
        replace(load_dictionary(embedded_folder("dictionary")), reads=site, writes=site),
        tmp_path / "wide",
    )
    path = experiment(tmp_path, stories(data_folder, "wide"))
    refused(forked("run", path, cwd=tmp_path), "256", "128")


def test_a_folder_without_a_run_is_refused(tmp_path):
    for verb in ("status", "browse"):
        refused(forked(verb, tmp_path, cwd=tmp_path), "holds no run")


def test_an_experiment_stands_for_the_run_that_it_names(tmp_path):
    (tmp_path / "mine.toml").write_text('[run]\nfolder = "elsewhere/mine"\n')
    for verb in ("status", "verify"):
        refused(forked(verb, "mine.toml", cwd=tmp_path), "elsewhere/mine holds no run")


def test_an_interrupted_word_is_completed_by_a_suggestion(tmp_path):
    done = gloss("statsu", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "status" in done.stderr
