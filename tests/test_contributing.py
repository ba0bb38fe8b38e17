"""CONTRIBUTING.md, followed to the letter: its files are written, its packages installed, its
commands typed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from gloss.store.results import Row, read_rows
from run.small import ran

pytestmark = pytest.mark.timeout(1800)  # a module's packages and runs are made in one test's name
PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"^([^\n]+(?:\n[^\n]+)*)\n\n```\w+\n(.*?)^```", re.M | re.S)
NAME = re.compile(r"`([\w/]+\.(?:py|toml))`")  # at the beginning of the paragraph above a block
LONG = {"run", "decompose", "explain", "check", "compare"}  # verbs that import much
COMMANDS = re.compile(r"^\$ (.+)$", re.M)


@dataclass(frozen=True)
class Workplace:
    """A folder in which one part of the page is followed."""

    folder: Path
    part: str

    @property
    def packages(self) -> Path:
        """Where packages are installed, beside those of this Python."""
        return self.folder / "site-packages"

    def write_files(self) -> list[Path]:
        """Write every file that the part shows."""
        shown: list[Path] = []
        for paragraph, text in BLOCK.findall(self.part):
            if named := NAME.match(paragraph):
                shown.append(Path(named[1]))
                path = self.folder / shown[-1]
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
        return shown

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type a command of the page. Packages go to a folder of this test, and what imports much
        is done in a process that is forked from one that has.
        """
        name, *words = shlex.split(command)
        paths = [str(self.packages), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
        if name == "gloss" and words[0] in LONG:
            with patch.dict(os.environ, environment):
                return subprocess.CompletedProcess(command, *ran(self.folder, *words, seconds=600))
        here = str(Path(sys.executable).parent)
        if [name, *words[:2]] == ["pip", "install", "--editable"]:
            offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
            words = ["-m", "pip", "install", *offline, "--target", str(self.packages), *words[2:]]
        elif name == "pytest":
            words = ["-m", "pytest", "-p", "no:cacheprovider", *words]
        known = {"gloss": f"{here}/gloss"} | dict.fromkeys(
            ("pip", "python", "pytest"), sys.executable
        )
        return subprocess.run(
            [known[name], *words],
            cwd=self.folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def follow(self) -> dict[str, str]:
        """Write the files and type the commands, each of which must end well: what they said."""
        self.write_files()
        said: dict[str, str] = {}
        for command in COMMANDS.findall(self.part):
            done = self.type(command)
            assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
            said[command] = done.stdout
        return said


def part_of_page(heading: str) -> str:
    """The page from a heading to the next of its level."""
    return PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def workplace(tmp_path_factory: pytest.TempPathFactory, heading: str) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("place"), part_of_page(heading))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> tuple[Workplace, dict[str, str]]:
    place = workplace(tmp_path_factory, "Add a scorer in ten minutes")
    return place, place.follow()


@pytest.fixture(scope="module")
def format_(tmp_path_factory) -> tuple[Workplace, dict[str, str]]:
    place = workplace(tmp_path_factory, "Add a format")
    return place, place.follow()


def scores(place: Workplace) -> list[Row]:
    return [
        row
        for folder in sorted((place.folder / "toy" / "score").iterdir())
        for row in read_rows([folder], "scores")
    ]


@pytest.mark.parametrize(
    "heading",
    ["Add a scorer in ten minutes", "Add a format", "Add a stage", "Add an executor"],
)
def test_a_package_needs_three_files_and_none_of_gloss_own(tmp_path, heading):
    files = Workplace(tmp_path, part_of_page(heading)).write_files()
    [package] = {file.parent.name for file in files if file.parent.name}
    assert package != "gloss"
    assert 1 < len([file for file in files if file.parent.name == package]) <= 3


def test_the_scorer_of_the_page_stands_in_the_report_with_its_controls(scorer):
    place, said = scorer
    rows = scores(place)
    assert {row["control"] for row in rows} == {
        "none",
        "random_explanation",
        "shuffled_explanation",
    }
    assert {row["method"] for row in rows} == {"quoted"}
    own = {row["feature"]: row["value"] for row in rows if row["control"] == "none"}
    other = [row["value"] for row in rows if row["control"] != "none"]
    assert len(own) > 2
    assert sum(own.values()) / len(own) > sum(other) / len(other)
    theirs = {
        feature: max(
            row["value"] for row in rows if row["feature"] == feature and row["control"] != "none"
        )
        for feature in own
    }
    best = max(own, key=lambda feature: own[feature] - theirs[feature])
    assert own[best] > theirs[best] + 0.3
    [query] = [text for command, text in said.items() if command.startswith("gloss query")]
    assert f" {own[best]:g}"[:5] in query
    assert "quoted" in (place.folder / "toy" / "report.html").read_text()


def test_a_scorer_that_raises_for_one_feature_costs_that_feature_alone(scorer):
    place, _ = scorer
    before = {row["feature"]: row for row in scores(place) if row["control"] == "none"}
    lost = min(before)
    module = place.packages / "quoted.py"
    module.write_text(
        module.read_text().replace(
            "        if not quoted:\n",
            f"        if explanation.feature.index == {lost}:\n"
            '            raise KeyError("out of order")\n'
            "        if not quoted:\n",
        )
    )
    done = place.type("gloss run toy.toml")
    assert done.returncode == 0, done.stderr
    newest = max((place.folder / "toy" / "score").iterdir(), key=lambda path: path.stat().st_mtime)
    after = {
        row["feature"]: row for row in read_rows([newest], "scores") if row["control"] == "none"
    }
    assert after.keys() == before.keys() - {lost}
    assert all(after[feature] == before[feature] for feature in after)
    reasons = [row for row in read_rows([newest], "failures") if row["feature"] == lost]
    assert reasons
    assert all("out of order" in row["detail"] for row in reasons)
    assert "out of order" in (place.folder / "toy" / "log" / "score.quoted.log").read_text()


SAME_CODES = """
import gloss, torch
own, copy = gloss.load_dictionary(), gloss.load_dictionary("mine")
x = torch.randn(8, own.d_in, generator=torch.Generator().manual_seed(0))
assert torch.equal(own.encode(x).dense(own.width), copy.encode(x).dense(own.width))
assert torch.equal(own.reconstruct(x), copy.reconstruct(x))
print(own.reads, copy.reads)
"""


def test_a_dictionary_in_the_format_of_the_page_is_the_one_that_was_copied(format_):
    place, said = format_
    done = place.type(f"python -c {shlex.quote(SAME_CODES)}")
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    checked = said["gloss check embedded mine --tokens 500"]
    assert re.search(r"FVU\W+0\.[0-4]", checked), checked
    folders = list((place.folder / "coded" / "decompose").iterdir())
    assert [len(list(folder.glob("*.done"))) for folder in folders] == [1]


def test_a_package_that_cannot_be_imported_is_one_sentence_and_the_folder_another(format_):
    place, _ = format_
    module = place.packages / "npzdict.py"
    module.write_text(f"import nothing_of_that_name\n{module.read_text()}")
    done = place.type("gloss compare mine mine")
    assert done.returncode == 2
    note, sentence = done.stderr.splitlines()
    assert note.startswith(
        "note: npz (gloss.format) of the package npzdict cannot be imported (No mo"
    )
    assert sentence.startswith(
        "gloss: mine holds dictionary.npz, which is no dictionary in the format of"
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> tuple[Workplace, dict[str, str]]:
    place = workplace(tmp_path_factory, "Add a stage")
    return place, place.follow()


def parts_of(folder: Path) -> dict[str, bytes]:
    """Every file of results below a folder, by the end of its name."""
    return {
        "/".join(file.parts[-2:]): file.read_bytes() for file in sorted(folder.rglob("*.parquet"))
    }


def test_the_stage_of_the_page_is_seen_wherever_stages_are(stage):
    place, said = stage
    [made] = (place.folder / "counted" / "wordcount").iterdir()
    rows = read_rows([made], "wordcounts")
    assert rows
    assert re.search(r"wordcount +│ 2 of 2 │", said["gloss status counted"])
    [query] = [text for command, text in said.items() if command.startswith("gloss query")]
    assert f"{len(rows)} " in query
    assert "explanations are long" in (place.folder / "counted" / "report.html").read_text()
    pages = list((place.folder / "counted" / "page").rglob(f"{rows[0]['feature']}.html"))
    assert any("Word count" in page.read_text() for page in pages)


def test_the_stage_of_the_page_is_made_anew_where_its_code_or_its_settings_are_others(stage):
    place, _ = stage
    folder = place.folder / "counted"
    explained = parts_of(folder / "explain")
    module, toml = place.packages / "wordcount.py", place.folder / "counted.toml"
    for file, old, new, kept in (
        (module, "words > longest", "words >= longest", 2),
        (toml, "longest = 4", "longest = 5", 3),
        (toml, "[wordcount]\nlongest = 5\n", "", 3),
    ):
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        done = place.type("gloss run counted.toml")
        assert done.returncode == 0, done.stderr
        assert len(list((folder / "wordcount").iterdir())) == kept
    assert parts_of(folder / "explain") == explained
    refused = place.type("gloss query counted 'SELECT wrong FROM wordcounts'")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_shards_that_another_executor_runs_are_the_same(tmp_path_factory):
    place = workplace(tmp_path_factory, "Add an executor")
    place.follow()
    explained = place.folder / "spread" / "explain"
    spread = parts_of(explained)
    assert len(spread) > 1
    shutil.rmtree(explained)
    toml = place.folder / "spread.toml"
    toml.write_text(re.sub(r"^executor = .*$", 'executor = "serial"', toml.read_text(), flags=re.M))
    assert place.type("gloss explain spread.toml").returncode == 0
    assert parts_of(explained) == spread
    toml.write_text(toml.read_text().replace('"serial"', '"nobody"'))
    refused = place.type("gloss explain spread.toml")
    assert refused.returncode == 2
    assert "one_by_one" in refused.stderr
