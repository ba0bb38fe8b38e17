"""Any file of a finished run cut off, changed, emptied or removed: the next run mends it, or says
one sentence.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harmed import HARMS, copied, gloss, harm, mended_or_told
from small import contents

EVERY = "GLOSS_EVERY_FILE" in os.environ  # takes half an hour


SOME = (
    "activations.parquet",
    "indptr.npy",
    "tokens.parquet",
    "times.json",
    ".gloss-pages",
    "examples/part-00001.parquet",
    ".done",
)


def chosen(run: Path) -> list[Path]:
    """All files, or one of some kinds."""
    files = sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file())
    return (
        files
        if EVERY
        else [next(file for file in files if str(file).endswith(name)) for name in SOME]
    )


@pytest.mark.timeout(3600)
def test_whatever_happens_to_a_file_is_mended_or_told(small_run, tmp_path):
    whole = contents(small_run / "out")
    wrong = []
    for number, file in enumerate(chosen(small_run / "out")):
        for how in list(HARMS) if EVERY else [list(HARMS)[number % len(HARMS)]]:
            folder = copied(small_run, tmp_path / f"{number} {how}")
            harm(folder / "out" / file, how)
            if problem := mended_or_told(folder, "out", whole):
                wrong.append(f"{file} {how}: {problem}")
    assert not wrong, "\n".join(wrong)


HARMED = "sample/quantiles-*/examples/part-00001.parquet"


def test_other_verbs_name_what_is_damaged_and_verify_mends_it(small_run, tmp_path):
    folder = copied(small_run, tmp_path / "run")
    code, said = gloss(folder, "verify", "out")
    assert (code, said) == (0, "every file holds what was written\n")
    (examples,) = (folder / "out").glob(HARMED)
    harm(examples, "flipped")
    harm(folder / "out" / "page" / "index.html", "cut off")
    name = str(examples.relative_to(folder / "out"))
    for verb, *more in (("status",), ("query", "SELECT 1"), ("browse",), ("verify",)):
        code, said = gloss(folder, verb, "out", *more)
        assert code == (0 if verb == "status" else 2), said
        assert name in said
    assert "page: 1 of its files are not as they were written" in said
    assert "2 files of out are damaged; `gloss verify out --mend` deletes them" in said
    code, said = gloss(folder, "verify", "out", "--mend")
    assert code == 0, said
    assert not examples.exists()
    assert mended_or_told(folder, "out", contents(small_run / "out")) == ""
    assert examples.exists()
    assert gloss(folder, "verify", "out")[0] == 0


def test_a_folder_of_something_else_is_neither_taken_for_pages_nor_verified(small_run, tmp_path):
    folder = copied(small_run, tmp_path / "run")
    (folder / "out" / "page" / ".gloss-pages").unlink()
    (folder / "out" / "page" / "features.js").unlink()
    code, said = gloss(folder, "browse", "out")
    assert code == 2
    assert "holds something else than pages" in said
    code, said = gloss(folder, "verify", "out/page")
    assert code == 2
    assert "holds no run" in said


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.getuid() != 0,
    reason="only root mounts a folder read-only",
)
def test_an_archive_that_nobody_can_write_is_verified(small_run, tmp_path):
    folder = copied(small_run, tmp_path / "run")
    read_only = (
        f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && cd {folder} &&"
        " exec "
    )
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        read_only + f"{Path(sys.executable).parent / 'gloss'} verify out",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (0, "every file holds what was written\n"), done.stderr
