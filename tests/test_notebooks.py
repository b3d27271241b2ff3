"""Notebooks as they are committed: without outputs, every cell valid; CI executes them in a step of its own."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(notebook):
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_the_three():
    assert [path.stem for path in NOTEBOOKS] == ["01_quickstart", "02_your_images", "03_why_gans_fail"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped_and_cells_compile(notebook):
    cells = code_cells(notebook)
    assert cells
    for cell in cells:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        source = "".join(cell["source"])
        if not source.startswith("%%"):
            ast.parse(source)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_what_the_library_offers_is_imported(notebook):
    """A rename must not wait for CI's execution to be seen."""
    tree = ast.parse("\n".join("".join(c["source"]) for c in code_cells(notebook) if c["source"][0][:2] != "%%"))
    ours = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "lightning_gans" in node.module]
    assert ours
    for node in ours:
        module = __import__(node.module, fromlist=["_"])
        assert all(hasattr(module, alias.name) for alias in node.names)


def test_ci_executes_them():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "jupyter execute notebooks/*.ipynb" in workflow
    assert "jupyter execute notebooks/*.ipynb" in (ROOT / "README.md").read_text()
