"""Check every file of a run against what was written; delete what is damaged where asked."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

from gloss.errors import Damaged
from gloss.pages.page_folder import MARK
from gloss.run.chat_capabilities import CAPABILITIES, CONTROL, LEDGER
from gloss.run.damage import find_damage
from gloss.run.execute.stage_times import TIMES
from gloss.run.plan import RESOLVED, SUBJECT_RECORD
from gloss.run.planning import read_run
from gloss.run.progress import out
from gloss.run.remote_run import fetch_everything, publishing, withdraw_missing
from gloss.store.atomic import remove_path
from gloss.store.lock import sole_writer
from gloss.store.remote import shown_name
from gloss.store.sealed_json import CHANGED_CONTENT, FILES, changed_files, read_sealed_json

PAGES = "page"
Found = dict[Path, str]  # what is damaged, and why


def verify_run(folder: Path, *, mend: bool = False, wait: bool = False) -> None:
    """Read every byte and print what is damaged.

    With `mend`, delete it, so that the same experiment makes it anew.

    Of a run at a URL, every byte is read there. Raises BadInput where there is no run, Busy where
    it is being written, and Damaged where something damaged is left.
    """
    fetch_everything(folder)
    if not (folder / RESOLVED).exists():
        read_run(folder)
    # Where nobody can write, as in an archive, nobody else does.
    alone = sole_writer(folder, wait=wait) if mend or os.access(folder, os.W_OK) else nullcontext()
    with alone, publishing(folder, mend, wait=wait):
        of_stages = list(find_damage({marker.parent for marker in folder.rglob("*.done")}, None))
        beside = {
            path: why
            for run in (folder, *folder.glob("controls/*/"))
            for path, why in damage_beside_stages(run)
        }
        kept = {path: why for path, why in beside.items() if path.name == LEDGER}
        found = {each.path: each.why for each in of_stages} | beside
        for path, why in sorted(found.items()):
            out.print(f"{path.relative_to(folder)}: {why}", highlight=False, markup=False)
        if mend:
            for each in of_stages:
                each.delete()
            for path in beside.keys() - kept.keys():
                remove_path(path)
            withdraw_missing(folder)
    if kept:
        raise Damaged(
            f"{folder / LEDGER} cannot be trusted; move it away, and what it holds is asked again"
        )
    if found and not mend:
        name = shown_name(folder)
        raise Damaged(
            f"{len(found):,} files of {name} are damaged; `gloss verify {name} --mend` deletes"
            " them, and the same experiment, run again, makes them anew"
        )
    said = (
        f"{len(found):,} files deleted; run the experiment again"
        if found
        else "every file holds what was written"
    )
    out.print(said, highlight=False)


def damage_beside_stages(run: Path) -> Iterator[tuple[Path, str]]:
    """What is damaged of the files that no stage's marker vouches for. Pages are one thing."""
    for path in (
        run / RESOLVED,
        *run.glob(f"{CAPABILITIES}*.json"),
        run / CONTROL,
        *run.glob(f"decompose/*/{SUBJECT_RECORD}"),
    ):
        if path.exists() and not is_intact_seal(path):
            yield path, CHANGED_CONTENT
    if (run / TIMES).exists() and not is_json_object(run / TIMES):
        yield run / TIMES, "it is not JSON"
    if (run / PAGES).exists() and (why := page_damage(run / PAGES)):
        yield run / PAGES, why
    if (run / LEDGER).exists() and (why := ledger_damage(run / LEDGER)):
        yield run / LEDGER, why


def page_damage(pages: Path) -> str:
    """What is wrong with the pages; nothing where all are as they were written."""
    if not is_intact_seal(pages / MARK):
        return "the list of its files is missing or damaged"
    listed = read_sealed_json(pages / MARK).get(FILES, {})
    written = {name: (size, content) for name, (size, content) in listed.items()}
    changed = changed_files(pages, written, whole=True)
    return f"{len(changed):,} of its files are not as they were written" if changed else ""


def ledger_damage(ledger: Path) -> str:
    """What SQLite finds wrong with the answers."""
    try:
        with closing(
            sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)
        ) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            return "" if said == "ok" else str(said).strip().splitlines()[-1]
    except sqlite3.Error as problem:
        return str(problem)


def is_intact_seal(path: Path) -> bool:
    """Whether a file of sealed JSON holds what was written."""
    try:
        return bool(read_sealed_json(path))
    except Damaged:
        return False


def is_json_object(path: Path) -> bool:
    """Whether a file is JSON."""
    try:
        return isinstance(json.loads(path.read_text("utf-8")), dict)
    except (OSError, ValueError):
        return False
