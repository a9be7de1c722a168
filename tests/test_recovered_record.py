"""What a scoreboard keeps of what is recovered and of a calibration, written and read again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import PoolJudge, blurred, mean_image, perfect, published, some_images
from test_calibrate import Sampler, calibration, drawn, release

import featinv as fi
from featinv.errors import BadInput
from featinv.evaluation import calibrate, read_calibration, read_recovered, recovered_cells, recovered_spectrum
from featinv.evaluation.recovered_record import read_cell_variance


@pytest.fixture(scope="module")
def board() -> fi.Scoreboard:
    attacks = {"mean image": mean_image(), "blurred": blurred(), "perfect": perfect()}
    return fi.compare(
        attacks,
        published(some_images(40)),
        [PoolJudge()],
        public=some_images(60, seed=5),
        progress=False,
        resamples=200,
    )


def test_the_scoreboard_has_the_share_that_every_attack_recovers(board: fi.Scoreboard, tmp_path: Path) -> None:
    board.save(tmp_path)
    again = read_recovered(fi.load_scoreboard(tmp_path).protocol)
    assert set(again) == {"mean image", "blurred", "perfect"}
    assert {share.mean for share in again["perfect"].spectrum.shares.values()} == {1.0}
    truth, public = some_images(40), some_images(60, seed=5)
    mean = public.batch(np.arange(60)).mean(0)
    images = blurred().reconstruct(torch.from_numpy(published(truth).features))
    rounded = (255 * images).round() / 255
    expected = recovered_spectrum(rounded, truth.batch(np.arange(40)), mean)
    for key, share in expected.shares.items():
        assert again["blurred"].spectrum.shares[key].mean == pytest.approx(share.mean, abs=1e-4)
        assert again["blurred"].spectrum.weights[key] == pytest.approx(expected.weights[key], abs=1e-4)
    cells = recovered_cells(rounded, truth.batch(np.arange(40)), mean)
    assert again["blurred"].cells == pytest.approx(cells, abs=1e-3)
    between = public.batch(np.arange(60)).double()
    colours = between.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    assert read_cell_variance(board.protocol) == pytest.approx(colours.var(0).sum(0).numpy(), rel=1e-4)


def test_persons_widen_the_intervals_and_nothing_is_measured_without_public_images(board: fi.Scoreboard) -> None:
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    options: dict[str, Any] = {"progress": False, "resamples": 200, "galleries": []}
    twice = fi.data.ImageSet(some_images(20).uint8(np.repeat(np.arange(20), 2)), ids=[str(row) for row in range(40)])
    public = some_images(60, seed=5)
    by_person = [str(row // 2) for row in range(40)]
    widths = []
    for clusters in (None, by_person):
        scored = fi.compare(attacks, published(twice), [PoolJudge()], public=public, clusters=clusters, **options)
        share = read_recovered(scored.protocol)["blurred"].spectrum.shares["1", "luma"]
        widths.append(share.high - share.low)
    # Every image is there twice: as persons they are half as many draws, and intervals are 1.41 times as wide.
    assert widths[1] / widths[0] == pytest.approx(2**0.5, rel=0.2)
    alone = fi.compare(attacks, published(some_images(40)), [PoolJudge()], **options)
    assert read_recovered(alone.protocol) == {}
    assert read_cell_variance(alone.protocol) is None
    assert board.protocol["recovered"]["images"] == 40


def test_a_damaged_record_is_refused(board: fi.Scoreboard, tmp_path: Path) -> None:
    board.save(tmp_path)
    file = tmp_path / "scoreboard.json"
    whole = json.loads(file.read_text())
    for damage in (
        {"shares": [], "cells": [[1.0, 2.0]]},
        {"cells": [[1.0]]},
        {"shares": [{"octave": "0"}], "cells": []},
    ):
        whole["protocol"]["recovered"]["attacks"]["blurred"] = damage
        file.write_text(json.dumps(whole))
        with pytest.raises(BadInput, match="lacks a part"):
            fi.load_scoreboard(tmp_path)


def test_a_calibration_survives_the_scoreboard(board: fi.Scoreboard, tmp_path: Path) -> None:
    page = calibration(Sampler(fine=0.6), k=20)
    fi.evaluation.with_calibration(board, "perfect", page).save(tmp_path)
    record = read_calibration(fi.load_scoreboard(tmp_path).protocol)
    assert record is not None
    assert (record.attack, record.images, record.k) == ("perfect", 300, 20)
    assert {entry.scale: entry.verdict for entry in record.scales} == page.verdicts
    colours = next(entry for entry in record.scales if entry.scale == "8 x 8 colours")
    tests = page.spaces["8 x 8 colours"]
    assert colours.ratio == tests.law.ratio
    assert colours.coverage == tests.coverage.regions
    assert colours.curve == pytest.approx(tests.coverage.curve)
    assert record.verdict("frequencies 4-7") == "over-confident"
    assert record.verdict("nowhere") is None
    assert read_calibration(board.protocol) is None
    with pytest.raises(BadInput, match="no row 'flow'"):
        fi.evaluation.with_calibration(board, "flow", page)
    with pytest.raises(BadInput, match="lacks a part"):
        read_calibration({"calibration": {"attack": "perfect", "images": 1, "k": 2, "scales": [{"verdict": "good"}]}})


def test_persons_count_once_in_a_calibration() -> None:
    vectors, truth = drawn(60, 0)
    rows = np.repeat(np.arange(60), 3)
    several = fi.Release(vectors[rows], {}, fi.data.ImageSet(truth.uint8(rows), ids=[str(n) for n in range(180)]))
    public = drawn(200, 1)[1]
    page = calibrate(Sampler(), several, public, k=16, clusters=[f"p{row}" for row in rows])
    assert page.images == 60
    assert page.verdicts.keys() == calibrate(Sampler(), release(60), public, k=16).verdicts.keys()
    with pytest.raises(BadInput, match="release: expected at least 50 images, got 20"):
        calibrate(Sampler(), several, public, k=16, clusters=[row % 20 for row in range(180)])
    with pytest.raises(BadInput, match="one id for each of 180 images, got 3"):
        calibrate(Sampler(), several, public, k=16, clusters=["a", "b", "c"])
