"""The rules of the house, checked: layers, sizes, names, and that every method is documented."""

import ast
import re
import subprocess
import sys
import tomllib
import warnings
from collections import defaultdict
from dataclasses import fields
from importlib.metadata import distributions, entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gloss.cli import app
from gloss.installed import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
VERBS = ("decompose", "sample", "explain", "score", "attribute", "evaluate", "match")
PAGES = {"match": "compare"}  # where a verb's methods are described, if not on a page of its name
POINTS = [point for verb in VERBS for point in entry_points(group=f"gloss.{verb}")]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


LONG_FILE, LONGEST_FILE = 500, 800  # lines: one is warned of, the other is too much
LONGEST_FUNCTION = 70  # lines of its body
MOST_ARGUMENTS = 7
SHORT_FILE, MOST_SHORT_FILES = 30, 0.05  # lines of code, and the share of files that may have fewer
# the same for two kinds of callers, who hand over paths or what is loaded already
SAME_FOR_TWO_KINDS = {"attribute", "load_dictionary", "load_model", "steer"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
@pytest.mark.filterwarnings("always::UserWarning")
def test_files_are_as_long_as_their_concept_and_functions_can_be_held_in_mind(path):
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= LONGEST_FILE, f"{path.name} has {lines} lines: find the joint to cut it at"
    if lines > LONG_FILE:
        warnings.warn(f"{path.name} has {lines} lines: is it one concept?", stacklevel=1)
    for function in functions(ast.parse(text)):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert length <= LONGEST_FUNCTION, (
            f"{path.name}:{function.lineno} {function.name} has {length} lines"
        )
        arguments = [
            a.arg
            for a in (*function.args.args, *function.args.kwonlyargs)
            if a.arg not in ("self", "cls")
        ]
        assert len(arguments) <= MOST_ARGUMENTS or function.name in COMMANDS, (
            f"{path.name}: {function.name} takes {len(arguments)} arguments"
        )


# of the command line, where an argument is an option
COMMANDS = {"attribute", "audit", "check", "evaluate", "init", "judge", "steer"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_two_public_functions_or_classes_share_their_name():
    places: dict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT / "src")))
    twice = {name for name, files in places.items() if len(files) > 1 and name[0] != "_"}
    assert {name: places[name] for name in twice - SAME_FOR_TWO_KINDS} == {}


def test_few_files_are_shorter_than_a_concept():
    files = [path for path in SOURCES if path.name != "__init__.py"]
    short = [path.name for path in files if code_lines(path.read_text()) < SHORT_FILE]
    assert len(short) <= MOST_SHORT_FILES * len(files), f"merge some of {', '.join(sorted(short))}"


def code_lines(text: str) -> int:
    """Lines that are neither blank nor a comment nor in a docstring."""
    documented = set[int]()
    for node in ast.walk(ast.parse(text)):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node):
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and line[0] != "#" and number not in documented for number, line in lines)


def test_imports_point_down_and_stages_do_not_know_each_other():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}.{point.name}")
def test_every_method_has_a_heading_in_the_docs_and_defaults_for_its_few_settings(point):
    verb = point.group.removeprefix("gloss.")
    page = ROOT / "docs" / f"{PAGES.get(verb, verb)}.md"
    assert re.search(rf"^##+ `{point.name}`", page.read_text(), re.MULTILINE), (
        f"{page.name} has no heading for {point.name}"
    )
    kind = point.load()
    assert len(fields(kind)) <= 9
    assert kind.__dataclass_params__.frozen
    kind()


def test_every_verb_has_a_page():
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert len(verbs) >= 12
    for verb in verbs:
        assert (ROOT / "docs" / f"{verb}.md").exists(), f"docs/{verb}.md is missing"


def test_one_version_is_stated_everywhere():
    assert PROJECT["version"] == __version__
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    done = subprocess.run(
        [sys.executable, "-c", "from gloss.cli import main; main()", "--version"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"gloss {__version__}\n"


def test_what_is_said_to_be_installed_is_the_distribution():
    """The import is `gloss`; the package of that name on the index is another's."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.py")]
    for path in [*pages, *SOURCES]:
        assert not re.search(r"gloss\[[a-z]", path.read_text()), f"{path.name}: gloss-lm[...]"


def test_links_in_the_docs_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_everything_that_is_installed_with_gloss_is_pinned():
    lines = [
        line.partition(";")[0].strip()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    ]
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    extras = PROJECT["optional-dependencies"]
    declared = [*PROJECT["dependencies"], *extras["test"], *extras["docs"], *extras["llama-cpp"]]
    wanted, seen = [], set()
    for needed in map(Requirement, declared):
        if needed.marker is None or needed.marker.evaluate():
            wanted += [(canonicalize_name(needed.name), each) for each in ("", *needed.extras)]
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen or (found := next(iter(distributions(name=name)), None)) is None:
            continue
        seen.add((name, extra))
        for text in found.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                wanted += [(canonicalize_name(needed.name), each) for each in ("", *needed.extras)]
    assert {name for name, _ in seen} - {"setuptools"} <= pinned


LIGHT = """
import sys
from typer.testing import CliRunner
from gloss.cli import app
answer = CliRunner().invoke(app, ["--help"])
print(answer.output)
assert answer.exit_code == 0
assert not {"torch", "pyarrow", "numpy"} & set(sys.modules)
"""


def test_help_comes_without_torch():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "gloss.run.plan",
        "gloss.run.stages.sample",
        "gloss.run.stages.explain",
        "gloss.run.stages.score",
        "gloss.run.reporting.feature_pages",
        "gloss.run.commands.status",
    ],
)
def test_what_needs_no_tensor_imports_neither_torch_nor_scipy(module):
    slow = "{'scipy', 'torch', 'transformers'}"
    code = f"import sys, {module}; assert not {slow} & {{*sys.modules}}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_method_that_is_installed_loads_from_the_file_that_defines_it():
    for point in POINTS:
        assert point.load().__module__ == point.module


def test_no_two_files_of_tests_share_their_name():
    """pytest imports them by it."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []
