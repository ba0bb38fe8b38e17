"""Run the notebooks from an empty folder and keep what they print: `python notebooks/execute.py`.

Names choose some of them, as in `python notebooks/execute.py trust`.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent
SECONDS = 900  # for one cell


def execute_notebook(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run every cell in the folder; outputs are as on every other machine, without times.

    Raises CellExecutionError where a cell fails that is not tagged `raises-exception`.
    """
    NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_empty(output)]
    return notebook


def is_empty(output: NotebookNode) -> bool:
    """Whether nothing is left of a line of progress."""
    return output.output_type == "display_data" and not any(map(str.strip, output.data.values()))


def main() -> None:
    wanted = sys.argv[1:] or [path.stem for path in sorted(HERE.glob("*.ipynb"))]
    for name in wanted:
        path = HERE / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(execute_notebook(notebook, Path(folder)), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
