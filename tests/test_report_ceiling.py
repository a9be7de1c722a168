"""The figure from floor to ceiling in the report of a comparison."""

from pathlib import Path
from typing import Any

from report_parts import compared, finished, rescored

import featinv as fi
from featinv.evaluation.ceiling_text import spans

RATES = [
    {"k": k, "size": size, "mean": high - 0.02, "low": high - 0.04, "high": high, "n": 40}
    for k, size, high in ((1, 40, 0.2), (10, 40, 0.9), (1, 10, 0.5))
]
BOUNDS: list[dict[str, Any]] = [
    {"name": "code", "k": 10, "size": 40, "value": 0.8, "worst_case": False, "text": "a code"}
]


def test_a_span_goes_from_the_weakest_judges_lower_limit_to_the_least_upper_limit() -> None:
    board, *_ = compared()
    protocol = {**board.protocol, "ceiling": {"known": True, "rates": RATES, "bounds": BOUNDS}}
    by_place = {(span.k, span.size): span for span in spans(protocol, board.attacks)}
    assert set(by_place) == {(1, 10), (1, 40), (10, 40)}  # ten of ten says nothing
    assert by_place[1, 40].ceiling == 0.2
    assert by_place[10, 40].ceiling == 0.8
    drawn = [row for row in board.attacks if row.name != "feature linkage"]
    for (k, size), span in by_place.items():
        key = f"reid_top{k}" if size == 40 else f"reid_top{k}/gallery {size}"
        lows = {row.name: row.interval(key).low for row in drawn if row.interval(key) is not None}  # type: ignore[union-attr]
        assert span.floor == max(lows.values())
        assert lows[span.attack] == span.floor
        assert span.chance == k / size
    assert spans({**protocol, "ceiling": None}, board.attacks) == ()


def test_the_report_draws_it_and_says_where_no_ceiling_is_known(tmp_path: Path) -> None:
    board = finished(tmp_path, shown=False)
    rescored(board, ceiling={"known": True, "rates": RATES[:2], "bounds": BOUNDS}).save(tmp_path)
    fi.report.write_both(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Floor and ceiling" in page
    assert "top-10 of 40 at least" in page
    assert "at most 80 %" in page
    assert "top-1 of 10 at least" in page
    assert "no ceiling known" in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Floor and ceiling" in text


def test_a_board_of_an_older_version_has_no_such_section(tmp_path: Path) -> None:
    rescored(finished(tmp_path, shown=False), ceiling=None).save(tmp_path)
    fi.report.write_both(tmp_path, show_images=False)
    assert "Floor and ceiling" not in (tmp_path / "report.html").read_text(encoding="utf-8")
