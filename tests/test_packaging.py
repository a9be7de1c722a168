"""What a user gets from the wheel, and what the rules for imports say."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_weights_stubs_and_licence_and_no_recipe(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(".safetensors") for name in names)
    assert "featinv/py.typed" in names
    assert "featinv/__init__.pyi" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("recipes", "tests", "docs"))]


def test_the_installed_wheel_finds_its_weights(wheel: Path, tmp_path: Path) -> None:
    """Installed apart and run from elsewhere, so that the checkout cannot help."""
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    code = (
        "import featinv as fi, torch\n"
        "assert 'site' in fi.__file__, fi.__file__\n"
        "print(fi.encoders.tiny()(torch.zeros(1, 3, 32, 32)).shape, fi.encoders.judge('scenes-vgg').family)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1, 64])" in done.stdout


def test_every_module_is_imported_by_a_stub_or_another_module() -> None:
    """No file lies about unused; one that needs an extra may be imported by users alone, as the docs show."""
    text = "\n".join(p.read_text() for p in (ROOT / "featinv").rglob("*.py*") if p.suffix in {".py", ".pyi"})
    for page in (ROOT / "docs").glob("*.md"):
        text += "\n".join(re.findall(r"^from featinv\.[\w.]+ import", page.read_text(encoding="utf-8"), re.MULTILINE))
    for module in (ROOT / "featinv").rglob("*.py"):
        if module.stem in {"__init__", "__main__", "cli"}:
            continue
        assert f".{module.stem} import" in text or f"import {module.stem}" in text, f"{module} is imported nowhere"


def test_the_paths_in_the_architecture_page_exist() -> None:
    """Every `file: function` of docs/architecture.md names a function of that file."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"`(featinv/[\w/]+\.py): (\w+)`", page)
    assert len(steps) >= 20
    for file, function in steps:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function in names, f"docs/architecture.md: {file} has no {function}"
