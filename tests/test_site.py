"""The generated pages of the documentation site, and the tutorial; `make docs` builds with warnings as errors."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import featinv as fi

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from _site import api_pages, cli_pages, gallery_pages, pages  # noqa: E402  # the folder is on the path from here on


def test_every_committed_scoreboard_stands_in_the_gallery() -> None:
    results = gallery_pages.read(DOCS / "results")
    assert len(results) == len(list((DOCS / "results").rglob("*scoreboard.json")))
    for result in results:
        assert (DOCS / f"{result.page}.md").is_file(), result
        assert result.sheet is None or (DOCS / result.sheet).is_file(), result
        assert result.command, result


def test_a_scoreboard_without_an_entry_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "gallery.yaml").write_text("[]")
    (tmp_path / "new_scoreboard.json").write_text("{}")
    with pytest.raises(fi.BadInput, match=r"got none for new_scoreboard\.json; add one"):
        gallery_pages.read(tmp_path)


def test_leaderboard_orders_by_top_ten_and_names_the_best_control() -> None:
    """Against the JSON itself, read without featinv."""
    [result] = [item for item in gallery_pages.read(DOCS / "results") if item.name == "cifar10_goal_scoreboard"]
    rows = json.loads((DOCS / "results" / "cifar10_goal_scoreboard.json").read_text())["attacks"]
    attacks = [row for row in rows if row["kind"] == "attack"]
    expected = [row["name"] for row in sorted(attacks, key=lambda row: -row["metrics"]["reid_top10"]["mean"])]
    text = gallery_pages._leaderboard([result])
    listed = [name for name in re.findall(r"^   \* - (.+)$", text, flags=re.MULTILINE) if name != "attack"]
    assert listed == expected
    controls = [row for row in rows if row["role"] in ("control", "mismatched features")]
    best = max(controls, key=lambda row: row["metrics"]["reid_top10"]["mean"])
    assert f"{100 * best['metrics']['reid_top10']['mean']:.1f} [" in gallery_pages.floor([result])
    assert gallery_pages.floor([result]).endswith(f"({best['name']})")


def test_no_cell_is_markup_and_a_loaded_attack_has_no_time() -> None:
    """A hyphen alone would be a list. The page docs/results/cifar10.md says which attacks were loaded in that run."""
    [result] = [item for item in gallery_pages.read(DOCS / "results") if item.name == "cifar10_scoreboard"]
    text = gallery_pages._rows(result)
    assert not re.search(r"^ +[*-]? *- [-*+]?$", text, flags=re.MULTILINE)
    assert "   * - \\+ gan\n" in pages.table(["row"], [["+ gan"]])
    times = {row.name: gallery_pages._seconds(row) for row in result.board.attacks}
    assert times["upsampling"] == gallery_pages.NOTHING
    assert times["listik (paper)"] == "225"


def test_results_with_another_gallery_stand_in_tables_of_their_own() -> None:
    results = {item.name: item for item in gallery_pages.read(DOCS / "results")}
    assert results["cifar10_goal_scoreboard"].comparable == results["cifar10_gan_scoreboard"].comparable
    assert results["cifar10_scoreboard"].comparable != results["cifar10_gan_scoreboard"].comparable


def test_every_flag_of_every_command_is_on_its_page(tmp_path: Path) -> None:
    cli_pages.write(tmp_path)
    assert {"audit", "defend", "report", "list", "doctor", "show", "index"} <= {
        file.stem for file in tmp_path.iterdir()
    }
    audit = (tmp_path / "audit.rst").read_text()
    helped = subprocess.run(
        [sys.executable, "-m", "featinv", "audit", "--help"], capture_output=True, text=True, check=True
    )
    flags = set(re.findall(r"(?<![\w`-])--[a-z][\w-]*", helped.stdout.partition("options:")[2]))
    assert {"--victim", "--max-level", "--config"} <= flags
    for flag in flags:
        assert re.search(rf"\.\. option:: .*{flag}\b", audit) or flag in audit, flag


def test_an_option_shows_its_help_as_it_is_written() -> None:
    parser = argparse.ArgumentParser()
    action = parser.add_argument("--rate", metavar="R", default=2, help="a *star*, 5 %% of it (default: %(default)s)")
    text = cli_pages._option(action, parser._get_formatter())
    assert text.startswith(".. option:: --rate R\n")
    assert r"a \*star\*, 5 % of it (default: 2)." in text


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("takes *args, and `a * b` stays", r"takes \*args, and `a * b` stays"),
        ("several `Component`s", r"several `Component`\ s"),
        ("M_MMAP_THRESHOLD_ is read", r"M_MMAP_THRESHOLD\_ is read"),
        ("|public| and `|x|`", r"\|public\| and `|x|`"),
    ],
)
def test_a_docstring_is_shown_as_it_is_written(docstring: str, expected: str) -> None:
    assert api_pages.escape(docstring) == expected


def test_pages_of_an_earlier_build_go(tmp_path: Path) -> None:
    pages.write_pages(tmp_path, {"old": "x", "kept": "y"})
    written = (tmp_path / "kept.rst").stat().st_mtime_ns
    pages.write_pages(tmp_path, {"kept": "y"})
    assert [file.name for file in tmp_path.iterdir()] == ["kept.rst"]
    assert (tmp_path / "kept.rst").stat().st_mtime_ns == written


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    """In the page's order, on a smaller budget; only the gate's exit code is 1."""
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    blocks = re.findall(r"```\n(featinv .*?)```", page, flags=re.DOTALL)
    commands = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    assert len(commands) >= 6
    for command in commands:
        arguments = shlex.split(command.replace("--images 2000", "--images 64"))[1:]
        done = subprocess.run(
            [sys.executable, "-m", "featinv", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == (1 if "--max-level" in command else 0), f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh here to run docker/install.sh")
def test_the_dockerfile_does_only_what_its_script_does() -> None:
    """Where there is no docker, the steps of the image are docker/install.sh, which has to be valid and called."""
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    assert "sh docker/install.sh python ." in dockerfile
    assert "pip install" not in dockerfile
    subprocess.run(["sh", "-n", str(ROOT / "docker" / "install.sh")], check=True)
    done = subprocess.run(["sh", str(ROOT / "docker" / "install.sh")], capture_output=True, text=True)
    assert done.returncode != 0
    assert "usage:" in done.stderr
