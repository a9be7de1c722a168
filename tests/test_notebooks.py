"""The notebooks of the site: committed without outputs, valid, reachable; `make docs` executes them."""

import ast
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_there_are_three() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["compare_in_wandb", "first_audit", "your_decoder"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_committed_without_outputs_and_begins_with_a_title(file: Path) -> None:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    assert "".join(cells[0]["source"]).startswith("# ")
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            ast.parse("".join(cell["source"]))  # no magics: a cell is plain Python


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_stands_in_the_navigation(file: Path) -> None:
    assert f"\nnotebooks/{file.stem}\n" in (DOCS / "index.md").read_text(encoding="utf-8")


def test_the_build_fails_where_a_cell_does() -> None:
    settings = (DOCS / "conf.py").read_text(encoding="utf-8")
    assert "nb_execution_raise_on_error = True" in settings
    assert 'nb_execution_mode = "cache"' in settings
