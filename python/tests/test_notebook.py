"""The notebook, from top to bottom."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

# Those of Jupyter's own packages are theirs.
pytestmark = pytest.mark.filterwarnings("default")

NOTEBOOK = Path(__file__).parents[1] / "examples" / "losses.ipynb"
PICTURES = 4


def pictures(notebook):
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return sum("image/png" in output.get("data", ()) for output in outputs)


def errors(notebook):
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_every_cell_runs_and_draws():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    assert not [output for output in errors(notebook) if output.output_type == "error"]
    assert pictures(notebook) == PICTURES


def test_stored_pictures_are_there_and_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert pictures(notebook) == PICTURES
    assert not errors(notebook)
    assert NOTEBOOK.stat().st_size < 300_000
