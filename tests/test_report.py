"""The report: what it says is what the scoreboard holds, it loads nothing, and strangers' names stay names."""

import base64
import html.parser
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_parts import NASTY, compared, finished, hits, rescored

import featinv as fi
from featinv.evaluation import Scoreboard
from featinv.evaluation.table import number
from featinv.report.evidence_sections import PAIRWISE
from featinv.report.exhibit import Exhibit
from featinv.report.verdicts import verdict

PIXELS = ("data:image/png", "data:image/webp")
"""what private images are drawn as; figures are SVG"""


class Page(html.parser.HTMLParser):
    """Keeps every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "img"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report") / "run one"
    made.mkdir()
    finished(made)
    return made


@pytest.fixture(scope="module")
def board(folder: Path) -> Scoreboard:
    return fi.load_scoreboard(folder)


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    written = fi.report.write(folder)
    assert written == folder / "report.html"
    return Page(written.read_text(encoding="utf-8"))


def test_the_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    assert not page.open
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "video", "audio", "base"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "data:image/ ").startswith(("data:image/", "#")), (tag, attributes)
    policy = next(attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_names_that_look_like_html_stay_names(folder: Path, page: Page) -> None:
    assert NASTY in page.text
    text = fi.report.write(folder, folder / "metadata.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<", text)
    # Every row of a table has as many cells as its head, whatever bars the names hold.
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(bars) == 1, block


def test_every_number_of_the_scoreboard_is_in_both(folder: Path, board: Scoreboard, page: Page) -> None:
    text = fi.report.write(folder, kind="markdown").read_text(encoding="utf-8")
    assert (folder / "report.md").is_file()
    shown = [("psnr", 1), ("ssim", 1), ("judge_agreement", 100), ("reid_top10", 100), ("attack_strength", 100)]
    for row in board.attacks:
        for metric, factor in shown:
            if metric in row.metrics:
                assert number(row.metrics[metric], factor) in page.text, (row.name, metric)
                assert number(row.metrics[metric], factor) in text, (row.name, metric)
    rows = re.findall(r"^\| ([^|]*) \|", text, flags=re.MULTILINE)
    assert rows.index("mean image") < rows.index("blurred")


def test_verdict_and_level_stand_first(board: Scoreboard, page: Page) -> None:
    level = board.leak_level
    assert level is not None
    before = page.text.partition("Scoreboard")[0]
    assert " ".join(level.sentence.split()) in before.replace("\N{NO-BREAK SPACE}", " ")
    assert f"Level: {level.level}" in before
    held = {one.level for one in level.evidence if one.shown}
    for name, word in (("L1", "class"), ("L2", "appearance"), ("L3", "identifying"), ("L4", "recognisable")):
        assert f"{name} {word}: {'shown' if name in held else 'not shown'}" in before


def test_what_the_best_control_finds_stands_beside_the_verdict(board: Scoreboard, page: Page) -> None:
    """A reader who sees a level must not have to guess that a control finds as many."""
    before = page.text.partition("Level by level")[0].replace("\N{NO-BREAK SPACE}", " ")
    best = board.protocol["best_control"]
    what = "other images' vectors" if best.startswith("mismatched features") else "no trained attack"
    rate = f"{100 * hits(board, best, 10):.1f} %"
    assert f"The best control, {best!r} ({what}), reaches {rate}" in before
    assert f"for {100 * hits(board, NASTY, 10):.1f} % [" in before
    assert (
        "The attack identifies more images than any control." in before
    )  # a perfect attack against one that knows nothing


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.4, -0.1, "The control identifies more images than the attack: this much leaks without any training."),
        (-0.1, 0.2, "It is not shown that the attack identifies more images than the control."),
        (0.1, 0.3, "The attack identifies more images than any control."),
    ],
)
def test_what_an_attack_adds_is_told_by_the_interval_of_its_strength(
    board: Scoreboard, low: float, high: float, words: str
) -> None:
    strength = replace(board[NASTY].metrics["attack_strength"], mean=(low + high) / 2, low=low, high=high)
    level = replace(board.leak_level, row=NASTY)  # type: ignore[type-var]
    changed = tuple(
        replace(row, metrics={**row.metrics, "attack_strength": strength}) if row.name == NASTY else row
        for row in board.attacks
    )
    told = verdict(fi.report.read_run(replace(board, attacks=changed, leak_level=level)))
    assert told.beside.endswith(words)


def test_the_leading_attack_is_held_against_every_row_as_the_board_does(board: Scoreboard, folder: Path) -> None:
    text = fi.report.write(folder, folder / "versus.md").read_text(encoding="utf-8")
    section = text.partition(f"## {PAIRWISE}")[2].partition("## ")[0]
    assert NASTY.partition("(")[2][:4] in section
    rows = {line.split(" | ")[0].removeprefix("| against "): line.split(" | ") for line in section.splitlines()}
    others = [row for row in board.attacks if row.name != NASTY and row.role != "linkage"]
    assert len(others) == 3
    for row in others:
        cells = next(cells for name, cells in rows.items() if name.replace("\\", "") == row.name)
        found = board.versus(NASTY, row.name)
        assert cells[1] == found.verdict
        for cell, family in zip(cells[2:4], ("pixel", "identification"), strict=True):
            side, _, p = cell.replace("\\", "").partition(", p ")
            assert side == found.families[family].side
            known = [one.p_holm for one in found.families[family].differences.values() if one.side == side]
            smallest = min(known)
            assert (p == "< 0.0001") if smallest < 1e-4 else float(p.removeprefix("= ")) == pytest.approx(smallest, 0.1)
    assert rows["mean image"][1] == "stronger"


def test_a_board_without_a_level_says_so(board: Scoreboard, tmp_path: Path) -> None:
    text = fi.report.write(replace(board, leak_level=None), tmp_path / "a.md").read_text(encoding="utf-8")
    assert "**Level: not assessed.**" in text
    rate = board[NASTY].metrics["reid_top10"].mean
    assert f"{100 * rate:.1f} %" in text.partition("##")[0]


def test_the_curve_is_the_share_of_ranks(board: Scoreboard, page: Page) -> None:
    alternative = next(str(image["alt"]) for image in page.images() if "hit rate against rank" in str(image["alt"]))
    for name in ("mean image", "blurred", NASTY):
        assert (
            f"{name} {_percent(hits(board, name, 1))} % at top-1 and {_percent(hits(board, name, 10))} % at top-10"
            in alternative
        )
    count = len(board.per_image[f"{NASTY}/rank"])
    assert f"chance {_percent(1 / count)} % at top-1 and {_percent(10 / count)} % at top-10" in alternative


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if 0 < share < 0.01 else f"{100 * share:.1f}"


def test_figures_have_alternatives_and_are_whole(page: Page) -> None:
    images = page.images()
    assert len(images) >= 8
    for image in images:
        assert len(str(image["alt"])) > 40
        kind, _, data = str(image["src"]).partition(";base64,")
        decoded = base64.b64decode(data, validate=True)
        if kind == "data:image/png":
            assert Image.open(io.BytesIO(decoded)).size[0] > 100
        else:
            assert kind == "data:image/svg+xml"
            assert b"</svg>" in decoded
            assert b"<script" not in decoded
    assert "Losses of blurred" in page.text
    assert any("ends at 17.25 dB" in str(image["alt"]) for image in images)


def test_the_same_run_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, second = (fi.report.write(folder, tmp_path / f"{name}.html").read_bytes() for name in "ab")
    assert first == second


def test_markdown_draws_no_figure(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from featinv import plots

    def refuse(*_: Any) -> str:
        raise AssertionError("drawn")

    monkeypatch.setattr(plots, "as_svg", refuse)
    fi.report.write(folder, tmp_path / "a.md")
    with pytest.raises(AssertionError, match="drawn"):
        fi.report.write(folder, tmp_path / "a.html")


def test_both_kinds_from_one_document_are_those_written_alone(folder: Path, tmp_path: Path) -> None:
    for path, suffix in zip(fi.report.write_both(folder, tmp_path), (".html", ".md"), strict=True):
        alone = fi.report.write(folder, tmp_path / f"alone{suffix}")
        assert path.name == f"report{suffix}"
        assert path.read_bytes() == alone.read_bytes()


def test_private_images_are_announced_and_can_be_left_out(folder: Path, page: Page, tmp_path: Path) -> None:
    assert page.text.index("This report shows private images") < page.text.rindex("What leaks from these vectors")
    without = Page(fi.report.write(folder, tmp_path / "a.html", show_images=False).read_text(encoding="utf-8"))
    assert "This report shows private images" not in without.text
    assert "left out as asked" in without.text
    assert not [image for image in without.images() if str(image["src"]).startswith(PIXELS)]
    markdown = fi.report.write(folder, tmp_path / "a.md").read_text(encoding="utf-8")
    assert "data:image" not in markdown
    assert "## Images" not in markdown


def test_the_images_are_those_of_the_tenths_and_the_soonest_found(tmp_path: Path) -> None:
    board, attacks, release = compared()
    exhibit = fi.report.choose_images(board, attacks, release, seed=3)
    assert exhibit is not None
    assert exhibit.leader in attacks
    deciles = exhibit.rows["deciles"]
    order = np.argsort(board.per_image[f"{exhibit.leader}/psnr"], kind="stable")
    assert [int(np.flatnonzero(order == row)[0] * 10 // len(order)) for row in deciles] == list(range(10))
    views = [board.per_image[f"{exhibit.leader}/rank{view}"] for view in ("", "/low-pass", "/jpeg 75", "/shift")]
    hardest = np.max(views, axis=0)
    others = np.setdiff1d(np.arange(len(hardest)), exhibit.rows["worst"])
    assert hardest[exhibit.rows["worst"]].max() <= hardest[others].min()
    assert release.truth is not None
    exhibit.save(tmp_path)
    read = fi.report.read_run(_saved(board, tmp_path)).exhibit
    assert read is not None
    np.testing.assert_array_equal(read.originals["worst"], release.truth.uint8(exhibit.rows["worst"]))
    np.testing.assert_array_equal(read.reconstructions["worst"][NASTY], read.originals["worst"])  # a perfect attack
    assert next(iter(read.reconstructions["deciles"])) == "mean image"


def _saved(board: Scoreboard, folder: Path) -> Path:
    board.save(folder)
    return folder


def _photographs(count: int, size: int, seed: int) -> np.ndarray:
    """Images with the spectrum of photographs, whose amplitude falls with frequency (Field 1987), and random phases."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij"))
    white = np.random.default_rng(seed).normal(size=(count, 3, size, size))
    pink = np.fft.irfft2(np.fft.rfft2(white) / np.maximum(frequency, 1 / size), s=(size, size))
    pink = 128 + 50 * pink / pink.std((1, 2, 3), keepdims=True)
    return pink.clip(0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1)


def test_the_report_of_a_thousand_images_is_small_enough_to_send(board: Scoreboard, tmp_path: Path) -> None:
    """Under 3 MB, also with eight attacks on photographs, whose sheets alone take 5 MB as PNG."""
    arrays = {key: np.tile(values, 25) for key, values in board.per_image.items()}
    protocol = {**board.protocol, "private": {**board.protocol["private"], "count": 1000}}
    replace(board, protocol=protocol, per_image=arrays).save(tmp_path)
    shown = {f"attack {number}": _photographs(10, 128, number) for number in range(8)}
    groups = {group: _photographs(10, 128, place + 90) for place, group in enumerate(("deciles", "worst"))}
    rows = {group: np.arange(10) + 10 * place for place, group in enumerate(groups)}
    Exhibit("attack 0", rows, groups, dict.fromkeys(groups, shown)).save(tmp_path)
    html = fi.report.write(tmp_path)
    assert html.stat().st_size < 3e6
    page = Page(html.read_text(encoding="utf-8"))
    sheets = [image for image in page.images() if str(image["src"]).startswith(PIXELS)]
    assert len(sheets) == 2
    for image in sheets:
        kind, _, content = str(image["src"]).partition(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(content))) as opened:
            assert kind == f"data:image/{opened.format.lower()}"
            assert opened.width > 10 * 128


def test_few_images_are_all_shown() -> None:
    board, attacks, release = compared(count=7, galleries=[])
    exhibit = fi.report.choose_images(board, attacks, release)
    assert exhibit is not None
    assert sorted(exhibit.rows["deciles"]) == list(range(7))


def test_the_protocol_is_told_with_what_was_not_measured(page: Page, board: Scoreboard) -> None:
    for words in (
        "used by scoring only",
        "61 s in total" if "61 s in total" in page.text else "62 s in total",
        "x86_64, Linux, 2 cores",
        str(board.protocol["private"]["fingerprint"])[:16],
        f"torch {board.protocol['versions']['torch']}",
        "DecoderAttack, Listik, MSE()",
        "Not tried: people as judges",
    ):
        assert words in page.text
    for reason in board.protocol.get("not_measured", {}).values():
        assert " ".join(str(reason).split()) in page.text


def test_a_scoreboard_alone_says_what_it_lacks(board: Scoreboard, tmp_path: Path) -> None:
    alone = replace(board, per_image={})
    text = fi.report.write(alone, tmp_path / "a.md").read_text(encoding="utf-8")
    assert "per_image.npz" in text
    assert "no trained attacks" in text
    assert "report_images.npz" in text


def test_several_runs_stand_in_one_table(folder: Path, board: Scoreboard, tmp_path: Path) -> None:
    second = tmp_path / "run two"
    second.mkdir()
    board.save(second)
    text = fi.report.write([folder, second], tmp_path / "both.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]*) \|", text, flags=re.MULTILINE)
    names = ["mean image (run one)", "mean image (run two)", "blurred (run one)", "blurred (run two)"]
    places = [rows.index(name) for name in names]
    assert places == sorted(places)
    assert text.count("**run one: Level:") == text.count("**run two: Level:") == 1
    twins = fi.report.write([folder, folder], tmp_path / "twins.md").read_text(encoding="utf-8")
    assert "blurred (run one (2))" in twins


def test_runs_and_anchors_never_share_a_name(folder: Path, board: Scoreboard, tmp_path: Path) -> None:
    """Two folders called "run one", and a third with the name that numbering would give to one of them."""
    others = [tmp_path / "elsewhere" / "run one", tmp_path / "run one (1)"]
    for other in others:
        other.mkdir(parents=True)
        board.save(other)
    text = fi.report.write([folder, *others], tmp_path / "all.html").read_text(encoding="utf-8")
    table = text.partition("Controls first, then attacks")[2].partition("</table>")[0]
    labels = re.findall(r"mean image \(run one[ ()\d]*\)", table)
    assert sorted(set(labels)) == [f"mean image (run one ({k}))" for k in (1, 2, 3)]
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert identifiers
    assert len(set(identifiers)) == len(identifiers)
    assert {link[1:] for link in re.findall(r'href="(#[^"]*)"', text)} <= set(identifiers)


def _other_victim(board: Scoreboard) -> Scoreboard:
    return replace(board, victim={**board.victim, "fingerprint": "another"})


def _other_images(board: Scoreboard) -> Scoreboard:
    return rescored(board, private={**board.protocol["private"], "fingerprint": "another"})


def _other_galleries(board: Scoreboard) -> Scoreboard:
    return rescored(board, galleries=[10, 20])


def _other_judge(board: Scoreboard) -> Scoreboard:
    return rescored(board, judges=[{**board.protocol["judges"][0], "fingerprint": "another"}])


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (_other_victim, "their victims are .* and another"),
        (_other_images, "their private images are .* and another"),
        (_other_galleries, "their galleries are 40, 10 and 40, 10, 20"),
        (_other_judge, "their first judges are judge pool and another"),
    ],
)
def test_runs_that_do_not_compare_are_refused(
    board: Scoreboard, tmp_path: Path, change: Callable[[Scoreboard], Scoreboard], difference: str
) -> None:
    with pytest.raises(fi.BadInput, match=f"do not compare: {difference}"):
        fi.report.write([board, change(board)], tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(fi.BadInput, match="expected at least one run"):
        fi.report.write([], tmp_path / "a.html")


@pytest.mark.parametrize("schema", [0, 1, None])
def test_another_schema_is_refused(board: Scoreboard, tmp_path: Path, schema: int | None) -> None:
    document = {**board.as_json(), "schema": schema}
    (tmp_path / "scoreboard.json").write_text(json.dumps(document))
    with pytest.raises(fi.BadInput, match=f"scoreboard.json: expected schema 2, got {schema}"):
        fi.report.write(tmp_path)


def test_paths_that_cannot_be_written(board: Scoreboard, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(fi.BadInput, match="cannot be written"):
        fi.report.write(board, tmp_path / "file" / "report.html")
    with pytest.raises(fi.BadInput, match="ends in .html or .md"):
        fi.report.write(board, tmp_path / "report.pdf")
    with pytest.raises(fi.BadInput, match=r"ends in \.md for Markdown"):
        fi.report.write(board, tmp_path / "report.html", kind="markdown")


def _spoilt(arrays: dict[str, Any]) -> None:
    arrays["worst/reconstructions"] = arrays["worst/reconstructions"][:, :2]


def _lacking(arrays: dict[str, Any]) -> None:
    del arrays["deciles/originals"]


@pytest.mark.parametrize(("spoil", "words"), [(_spoilt, "8-bit images"), (_lacking, "lacks a part")])
def test_a_damaged_file_of_images_is_named(
    folder: Path, board: Scoreboard, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], words: str
) -> None:
    board.save(tmp_path)
    with np.load(folder / "report_images.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    spoil(arrays)
    np.savez_compressed(tmp_path / "report_images.npz", **arrays)
    with pytest.raises(fi.BadInput, match=f"report_images.npz: .*{words}"):
        fi.report.write(tmp_path)


def test_a_release_without_images_has_none_to_show() -> None:
    board, attacks, release = compared()
    with pytest.raises(fi.BadInput, match="this release has none"):
        fi.report.choose_images(board, attacks, replace(release, truth=None))
