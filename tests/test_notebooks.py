"""The notebooks in docs/ run as they are, and show what they showed."""

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from tests.conftest import with_project

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
SETTINGS = 'SETTINGS = {"data": "mnist", "epochs": '
FEW = """\
SETTINGS = {"data": "synthetic", "epochs": 1}
SETTINGS |= {"data.train_size": 256, "data.val_size": 100, "data.test_size": 100}
"""


def kinds(cell: dict[str, Any]) -> list[set[str]]:
    """The formats of what a cell shows."""
    return [{*output.get("data", {output["output_type"]})} for output in cell["outputs"]]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=pytest.mark.soak if path.stem == "study" else ())
        for path in sorted(FOLDER.glob("*.ipynb"))
    ],
)
def test_a_notebook_runs_and_shows_the_same_results(
    name: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    saved, notebook = (nbformat.reads(text, as_version=4) for _ in range(2))
    nbformat.validate(saved)
    changed = 0
    for cell in notebook.cells:
        lines = cell.source.splitlines(keepends=True)
        own = [FEW if line.startswith(SETTINGS) else line for line in lines]
        changed += own != lines
        cell.source = "".join(own)
    assert changed == 1
    for key, value in with_project(AECLI_DATA=str(data_dir)).items():
        monkeypatch.setenv(key, value)

    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()

    for cell, before in zip(notebook.cells, saved["cells"], strict=True):
        if cell.cell_type == "code":
            # Warnings of a network that was hardly trained come beside what is shown.
            shown = [kind for kind in kinds(cell) if kind != {"stream"}]
            assert shown == [kind for kind in kinds(before) if kind != {"stream"}], cell.source
    assert (tmp_path / "outputs").is_dir()
