"""The gallery: a page for each committed scoreboard, and a leaderboard of attacks for each victim."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import featinv as fi
from _site.pages import heading, table, write_pages
from featinv.evaluation.table import number

ENTRIES = "gallery.yaml"
COLUMNS = {"top-1 %": "reid_top1", "top-10 %": "reid_top10", "PSNR dB": "psnr", "judge cosine": "judge_cosine"}
RATES = ("reid_top1", "reid_top10", "attack_strength", "headroom")
CEILING_K = (1, 10)
TIMES = (
    "``seconds`` is the time to fit and to reconstruct. A dash means less than a second, or an attack that was loaded "
    "and not trained in this run."
)
NOTHING = "–"
"""A cell without a number; a hyphen would begin a list."""


@dataclass(frozen=True)
class Result:
    """One entry of the gallery: a scoreboard, and what its file cannot say."""

    name: str
    title: str
    page: str
    board: fi.Scoreboard
    sheet: str | None = None
    command: str | None = None

    @property
    def comparable(self) -> tuple[str, ...]:
        """What two results must share so that their rates may stand in one table."""
        protocol = self.board.protocol
        judge = protocol["judges"][0]["fingerprint"]
        return (self.board.victim["fingerprint"], protocol["private"]["fingerprint"], judge, str(protocol["gallery"]))


def read(folder: Path) -> list[Result]:
    """Read the entries of `folder`/gallery.yaml with their scoreboards.

    Raises BadInput for a scoreboard in the folder that has no entry, with its path.
    """
    entries: list[dict[str, Any]] = yaml.safe_load((folder / ENTRIES).read_text(encoding="utf-8"))
    listed = {entry["scoreboard"] for entry in entries}
    for file in sorted(folder.rglob("*scoreboard.json")):
        if (name := file.relative_to(folder).as_posix()) not in listed:
            raise fi.BadInput(
                f"{folder / ENTRIES}: expected an entry for each scoreboard, got none for {name}; add one"
            )
    results = []
    for entry in entries:
        rest = {key: value for key, value in entry.items() if key != "scoreboard"}
        name = entry["scoreboard"].removesuffix(".json").replace("/", "_")
        results.append(Result(name=name, board=fi.load_scoreboard(folder / entry["scoreboard"]), **rest))
    return results


def _cell(row: fi.evaluation.AttackScore, key: str) -> str:
    return number(row.metrics[key], 100 if key in RATES else 1) if key in row.metrics else NOTHING


def _seconds(row: fi.evaluation.AttackScore) -> str:
    """Return the time of a row whose fit took a second or more; an attack that was loaded has the time of loading."""
    return f"{row.seconds:,.0f}" if row.seconds_by.get("fit", 0.0) >= 1 else NOTHING


def _setting(result: Result) -> str:
    """Return the sentence that says what was measured on what."""
    board, protocol = result.board, result.board.protocol
    judge = protocol["judges"][0]
    public = protocol.get("public", {}).get("count")
    return (
        f"Victim {board.victim['name']} (defence {board.victim['defence']}). {protocol['private']['count']:,} private "
        f"images of {protocol['private']['size']} px, {public:,} public images. Judge {judge['name']} "
        f"({judge['family']}), gallery of {protocol['gallery']:,}. Intervals of 95 %. Seed {protocol['seed']}."
    )


def _rows(result: Result) -> str:
    header = ["row", "kind", *COLUMNS, "strength %", "seconds", "parameters"]
    cells = []
    for row in result.board.attacks:
        numbers = [_cell(row, key) for key in (*COLUMNS.values(), "attack_strength")]
        cells.append([row.name, row.role, *numbers, _seconds(row), f"{row.parameters:,}"])
    return table(header, cells)


def _page(result: Result) -> str:
    """Return the page of one result: what was measured, the sheet, the command, the numbers and their cost."""
    parts = [heading(result.title), _setting(result), ""]
    if result.board.leak_level is not None:
        parts += [f"Level {result.board.leak_level.level}. {result.board.leak_level.sentence}", ""]
    if result.sheet is not None:
        parts += [f".. image:: /{result.sheet}", f"   :alt: Private images and reconstructions: {result.title}", ""]
    parts += [f"How it was made and what it shows: :doc:`/{result.page}`.", ""]
    if result.command is not None:
        parts += ["::", "", f"   {result.command}", ""]
    parts += [
        TIMES,
        "",
        _rows(result),
    ]
    return "\n".join(parts)


def floor(results: Sequence[Result]) -> str:
    """Return the strongest top-10 re-identification of any control over these results, with the control's name."""
    controls = [row for result in results for row in result.board.attacks if row.counts_as_control]
    best = max((row for row in controls if "reid_top10" in row.metrics), key=lambda row: row.metrics["reid_top10"].mean)
    return f"{_cell(best, 'reid_top10')} % ({best.name})"


def ceiling(results: Sequence[Result]) -> str:
    """Return the top-10 ceiling of these results where a scoreboard holds one for its whole gallery."""
    for result in results:
        known = result.board.protocol.get("ceiling") or {}
        for rate in known.get("rates", ()):
            if rate["k"] == max(CEILING_K) and rate["size"] == result.board.protocol["gallery"]:
                return f"{100 * rate['mean']:.1f} [{100 * rate['low']:.1f} {100 * rate['high']:.1f}] %"
    if not str(results[0].board.victim["defence"]).startswith("Identity"):
        return "not computed"
    linkage = [row for result in results for row in result.board.attacks if row.role == "linkage"]
    return f"{_cell(linkage[0], 'reid_top10')} % (feature linkage; no defence)" if linkage else "not computed"


def _leaderboard(results: Sequence[Result]) -> str:
    """Return the section of one victim: floor, ceiling, and every attack by top-10 re-identification."""
    board = results[0].board
    judge = board.protocol["judges"][0]["name"]
    title = f"{board.victim['name']}, {board.protocol['gallery']:,} candidates, judge {judge}"
    ranked = [(row, result) for result in results for row in result.board.attacks if row.kind == "attack"]
    ranked.sort(key=lambda pair: -pair[0].metrics["reid_top10"].mean)
    cells = []
    for row, result in ranked:
        numbers = [_cell(row, key) for key in (*COLUMNS.values(), "headroom")]
        public = f"{result.board.protocol['public']['count']:,}"
        cells.append([row.name, *numbers, public, _seconds(row), f":doc:`{result.title} <{result.name}>`"])
    header = ["attack", *COLUMNS, "headroom %", "public images", "seconds", "result"]
    return "\n".join(
        [
            heading(title, "-"),
            f"Floor, the best control: top-10 {floor(results)}. Ceiling: top-10 {ceiling(results)}.",
            "",
            table(header, cells),
        ]
    )


def _index(results: Sequence[Result]) -> str:
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(result.comparable, []).append(result)
    toctree = "\n".join(f"   {result.name}" for result in results)
    return "\n".join(
        [
            heading("Gallery and leaderboard"),
            "Generated from the committed scoreboards. Rates stand in one table only where victim, private images,",
            "gallery and first judge are the same. Attacks are ordered by top-10 re-identification. The floor is what",
            "an attacker has without training. The ceiling is what no attack can exceed; without a defence every",
            "vector is unique, and feature linkage shows it. Headroom is the share of what the judge could identify",
            "from the vectors; a dash means that the scoreboard was made without it.",
            TIMES,
            "",
            "**Add a row.** Score your attack with ``recipes/compare.py`` on the same configuration. Commit its",
            "``scoreboard.json`` to ``docs/results/``, add an entry to ``docs/results/gallery.yaml``, build the site.",
            "Reconstructions that other code made are scored with ``featinv score`` (:doc:`/score`).",
            "",
            *(_leaderboard(group) for group in groups.values()),
            f".. toctree::\n   :maxdepth: 1\n   :caption: Results\n\n{toctree}\n",
        ]
    )


def write(results_folder: Path, folder: Path) -> None:
    """Write the gallery's pages into `folder` from the scoreboards of `results_folder`."""
    results = read(results_folder)
    write_pages(folder, {"index": _index(results), **{result.name: _page(result) for result in results}})
