"""What was measured beside the scoreboard's columns is told in the report too, and a stranger's numbers are checked."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_parts import PoolJudge, blurred, mean_image, perfect, published, some_images

import featinv as fi
from featinv.evaluation import Scoreboard
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.table import number

METRICS = Catalogue()


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    plain = some_images(60)
    brightest = plain.batch(np.arange(60)).mean((2, 3)).argmax(1).numpy()
    truth = fi.data.ImageSet(plain.uint8(np.arange(60)), ids=plain.ids, labels=brightest)
    attacks = {"mean image": mean_image(), "blurred": blurred(), "perfect": perfect()}
    return fi.compare(
        attacks,
        published(truth),
        [PoolJudge()],
        metrics="full",
        public=some_images(30, seed=9),
        resamples=100,
        progress=False,
    )


def tables(board: Scoreboard, tmp_path: Path) -> dict[str, list[list[str]]]:
    """The report's tables as rows of cells, by the heading above them."""
    text = fi.report.write(board, tmp_path / "report.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        found[section.splitlines()[0]] = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return found


def test_further_measures_stand_in_a_table_with_chance(board: Scoreboard, tmp_path: Path) -> None:
    head, _, *rows = tables(board, tmp_path)["More metrics"]
    by_name = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    measured = {"low_pass_psnr", "judge_cosine", "memorised", "nearest_public_rate", "target_cosine"}
    assert measured <= {metric.name for metric in METRICS.at("details") if metric.heading in head}
    assert METRICS["judge_kd"].heading not in head, "60 images are too few for it"
    for name in ("blurred", "perfect"):
        for metric in measured:
            expected = number(board[name].metrics[metric], METRICS[metric].factor)
            assert by_name[name][METRICS[metric].heading] == expected
        within = board[name].metrics_by["within class"]["reid_auc"]
        assert by_name[name][METRICS["reid_auc_within_class"].heading] == number(within)
    # Of 30 public images and 59 others, by hand.
    assert by_name["chance"][METRICS["nearest_public_rate"].heading] == f"{100 * 30 / 89:.1f}"


def test_what_the_vector_alone_tells_stands_beside_guessing(board: Scoreboard, tmp_path: Path) -> None:
    ((name, guessed, vector, made, original),) = tables(board, tmp_path)["Attributes predicted from a vector"][2:]
    metadata = board.protocol["attributes"]["label"]
    assert (name, guessed) == ("label", f"{100 * metadata['prior']:.1f}")
    for cell, known in ((vector, metadata["vector"]), (original, metadata["original"])):
        assert cell.startswith(f"{100 * known['mean']:.1f} [")
    assert made in {number(board[row].metrics["attribute label"], 100) for row in ("blurred", "perfect")}


def test_what_was_not_asked_for_has_no_section(board: Scoreboard, tmp_path: Path) -> None:
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    plain = fi.compare(attacks, published(some_images(40)), [PoolJudge()], resamples=100, progress=False)
    found = tables(plain, tmp_path)
    assert "Attributes predicted from a vector" not in found
    assert METRICS["memorised"].heading not in found["More metrics"][0]


def test_of_several_runs_the_one_that_read_attributes_tells_them(board: Scoreboard, tmp_path: Path) -> None:
    silent = replace(board, protocol={name: part for name, part in board.protocol.items() if name != "attributes"})
    for name, one in (("first", silent), ("second", board)):
        one.save(tmp_path / name)
    text = fi.report.write([tmp_path / "first", tmp_path / "second"], tmp_path / "both.md").read_text(encoding="utf-8")
    assert "## Attributes predicted from a vector" in text


@pytest.mark.parametrize("broken", [{"label": {}}, {"label": {"vector": 1, "original": 1, "prior": 0.5}}])
def test_a_strangers_attributes_are_checked(board: Scoreboard, tmp_path: Path, broken: dict[str, object]) -> None:
    board.save(tmp_path)
    document = json.loads((tmp_path / "scoreboard.json").read_text())
    document["protocol"]["attributes"] = broken
    (tmp_path / "scoreboard.json").write_text(json.dumps(document))
    with pytest.raises(fi.BadInput, match=r"scoreboard\.json: expected a scoreboard of schema .*lacks a part"):
        fi.load_scoreboard(tmp_path)
