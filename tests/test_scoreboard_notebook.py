"""A scoreboard in a notebook, against the committed JSON read without featinv."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import featinv as fi

FILE = Path(__file__).parents[1] / "docs" / "results" / "cifar10_goal_scoreboard.json"


class Cells(HTMLParser):
    """The text of each row of a table, and the tags that were met."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_the_frame_has_every_number_of_the_file() -> None:
    pytest.importorskip("pandas", reason="pandas is optional")
    frame = fi.load_scoreboard(FILE).to_frame()
    rows = json.loads(FILE.read_text())["attacks"]
    expected = sum(len(views) for row in rows for views in (row["metrics"], *row["metrics_by"].values()))
    assert len(frame) == expected
    last = rows[-1]
    chosen = frame[(frame["row"] == last["name"]) & (frame["view"] == "shift") & (frame["metric"] == "reid_top10")]
    written = last["metrics_by"]["shift"]["reid_top10"]
    for key in ("mean", "low", "high", "n", "chance"):
        assert chosen[key].item() == written[key], key


def test_without_pandas_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(fi.BadInput, match="pip install pandas"):
        fi.load_scoreboard(FILE).to_frame()


def test_a_notebook_shows_all_rows_and_runs_nothing(tmp_path: Path) -> None:
    """Names come from whoever wrote the file: they are text, never markup."""
    document = json.loads(FILE.read_text())
    document["attacks"][-1]["name"] = "<script>alert(1)</script>"
    (tmp_path / "scoreboard.json").write_text(json.dumps(document))
    parser = Cells()
    parser.feed(fi.load_scoreboard(tmp_path)._repr_html_())
    assert [row[0] for row in parser.rows[1:]] == [row["name"] for row in document["attacks"]]
    assert {len(row) for row in parser.rows} == {len(parser.rows[0])}
    assert parser.tags == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    psnr = parser.rows[0].index(next(cell for cell in parser.rows[0] if cell.startswith("PSNR")))
    assert parser.rows[1][psnr].startswith(f"{document['attacks'][0]['metrics']['psnr']['mean']:.2f} [")
