"""The rules of the house, checked: layers, sizes, names, and that every method is documented."""

import ast
import re
import subprocess
import sys
from importlib.metadata import distributions, entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gloss.cli import app

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
VERBS = ("decompose", "sample", "explain", "score", "attribute")
POINTS = [point for verb in VERBS for point in entry_points(group=f"gloss.{verb}")]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_files_are_as_long_as_their_concept_and_functions_can_be_held_in_mind(path):
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= 800, f"{path.name} has {lines} lines: find the joint to cut it at"
    for function in functions(ast.parse(text)):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert length <= 60, f"{path.name}:{function.lineno} {function.name} has {length} lines"
        arguments = [a.arg for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls")]
        assert len(arguments) <= 7 or function.name in COMMANDS, f"{path.name}: {function.name} takes {len(arguments)} arguments"


COMMANDS = {"attribute", "demo", "check", "steer"}  # of the command line, where an argument is an option


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_imports_point_down_and_stages_do_not_know_each_other():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.group}.{point.name}")
def test_every_method_has_a_heading_in_the_docs_and_defaults_for_its_few_settings(point):
    page = ROOT / "docs" / f"{point.group.removeprefix('gloss.')}.md"
    assert re.search(rf"^##+ `{point.name}`", page.read_text(), re.MULTILINE), f"{page.name} has no heading for {point.name}"
    kind = point.load()
    assert len(kind.__dataclass_fields__) <= 8
    assert kind.__dataclass_params__.frozen
    kind()


def test_every_verb_has_a_page():
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert len(verbs) >= 12
    for verb in verbs:
        assert (ROOT / "docs" / f"{verb}.md").exists(), f"docs/{verb}.md is missing"


def test_links_in_the_docs_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_everything_that_is_installed_with_gloss_is_pinned():
    lines = [line.partition(";")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    wanted, seen = [("gloss", extra) for extra in ("", "test", "llama-cpp")], set()
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen or (found := next(iter(distributions(name=name)), None)) is None:
            continue
        seen.add((name, extra))
        for text in found.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                wanted += [(canonicalize_name(needed.name), each) for each in ("", *needed.extras)]
    assert {name for name, _ in seen} - {"gloss", "setuptools"} <= pinned


LIGHT = """
import sys
from typer.testing import CliRunner
from gloss.cli import app
told = CliRunner().invoke(app, ["--help"])
print(told.output)
assert told.exit_code == 0
assert not {"torch", "pyarrow", "numpy"} & set(sys.modules)
"""


def test_help_comes_without_torch():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


@pytest.mark.parametrize(
    "module",
    ["gloss.run.plan", "gloss.run.stages.sample", "gloss.run.stages.explain", "gloss.run.stages.score", "gloss.run.browsing"],
)
def test_what_needs_no_tensor_imports_no_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_method_that_is_installed_loads_and_is_named_after_its_file():
    for point in POINTS:
        assert point.value.split(":")[0].split(".")[-1] == point.name


def test_no_two_files_of_tests_share_their_name():
    """pytest imports them by it."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []
