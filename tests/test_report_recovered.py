"""The section "Recovered or invented": what it calls invented, and where samples and their map are shown."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import SIZE, PoolJudge, Stub, blurred, mean_image, published, some_images
from PIL import Image
from torch import Tensor

import featinv as fi
from featinv.errors import BadInput
from featinv.evaluation import calibrated, read_calibration
from featinv.evaluation.calibration_record import KEY
from featinv.evaluation.sampler_test import strongest_sampler
from featinv.report import Run, read_run
from featinv.report.recovered_section import TITLE, fine_details

COUNT = 60
SIGMA = 0.08


def noisy_images(seed: int, count: int = COUNT) -> fi.data.ImageSet:
    """Grey plus white noise that the vector says, plus as much that it does not: half of every detail is known."""
    said, unsaid = (np.random.default_rng([seed, part]).normal(size=(count, SIZE, SIZE, 3)) for part in (0, 1))
    pixels = np.clip(127.5 + 255 * SIGMA * (said + unsaid), 0, 255).round().astype(np.uint8)
    return fi.data.ImageSet(pixels, ids=[f"{seed}-{row}" for row in range(count)])


class Drawing(Stub):
    """Draws around what the vector says, `width` times as widely as is right."""

    guidance = 1

    def __init__(self, width: float = 1) -> None:
        super().__init__(lambda features: self._said(features))
        self.width = width

    def _said(self, features: Tensor) -> Tensor:
        return (0.5 + SIGMA * features.reshape(-1, 3, SIZE, SIZE)).clamp(0, 1)

    def sample(self, features: Tensor, k: int, seed: int, *, first_row: int = 0) -> Tensor:
        rows = [np.random.default_rng([seed, 9, first_row + row]) for row in range(len(features))]
        noise = np.stack([draw.normal(size=(k, 3, SIZE, SIZE)) for draw in rows])
        known = self._said(features)[:, None]
        return (known + self.width * SIGMA * torch.from_numpy(noise).float()).clamp(0, 1)


class Repeats(Drawing):
    def sample(self, features: Tensor, k: int, seed: int, *, first_row: int = 0) -> Tensor:
        return self._said(features)[:, None].expand(-1, k, -1, -1, -1)


def scored(attack: Stub, **options: Any) -> tuple[fi.Scoreboard, dict[str, Any], fi.Release, fi.data.ImageSet]:
    count = options.pop("count", 300)
    truth, public = noisy_images(0, count), noisy_images(1, 200)
    said = np.random.default_rng([0, 0]).normal(size=(count, SIZE, SIZE, 3)).transpose(0, 3, 1, 2)
    release = fi.Release(np.ascontiguousarray(said.reshape(count, -1), dtype=np.float32), {"name": "toy"}, truth)
    attacks = {"mean image": mean_image(), "drawing": attack}
    board = fi.compare(
        attacks, release, [PoolJudge()], public=public, galleries=[10], resamples=100, progress=False, **options
    )
    return calibrated(board, attacks, release, public, k=16), attacks, release, public


@pytest.fixture(scope="module")
def right() -> tuple[fi.Scoreboard, dict[str, Any], fi.Release, fi.data.ImageSet]:
    return scored(Drawing())


def written(board: fi.Scoreboard, attacks: Any, release: fi.Release, folder: Path, **options: Any) -> str:
    board.save(folder)
    exhibit = fi.report.choose_images(board, attacks, release)
    assert exhibit is not None
    exhibit.save(folder)
    page = fi.report.write(folder, **options).read_text(encoding="utf-8")
    return page[page.index(f'id="{"recovered-or-invented"}"') :]


def sheet_in(page: str) -> Image.Image:
    [source] = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="[^"]*standard deviation', page)
    return Image.open(io.BytesIO(base64.b64decode(source)))


def test_a_calibrated_sampler_has_a_map_a_greyed_row_and_no_warning(right: Any, tmp_path: Path) -> None:
    board, attacks, release, _ = right
    page = written(board, attacks, release, tmp_path)
    assert "partly recovered" in page
    assert "invented: no attack recovers it" not in page
    assert "are calibrated at all sizes" in page
    assert "these cells are grey in the last row" in page
    tall = sheet_in(page).height
    assert np.array_equal(np.asarray(sheet_in(page)), np.asarray(Image.open(tmp_path / "report_samples.png")))
    untrusted = written(
        fi.Scoreboard(board.victim, {**board.protocol, KEY: None}, board.attacks, board.per_image),
        attacks,
        release,
        tmp_path,
    )
    assert sheet_in(untrusted).height < tall
    assert "nothing is greyed" in untrusted


def test_over_confident_samples_make_fine_details_invented(tmp_path: Path) -> None:
    board, attacks, release, _ = scored(Drawing(width=0.5), count=120)
    page = written(board, attacks, release, tmp_path)
    assert "Treat text, faces and all other fine details in every image of this report as invented: the samples" in page
    assert "over-confident" in page
    assert "nothing is greyed" in page


def test_without_a_sampler_the_spectrum_stands_alone_and_what_no_attack_recovers_is_invented(tmp_path: Path) -> None:
    attacks = {"mean image": mean_image(), "blurred": blurred()}
    release = published(some_images(COUNT))
    board = fi.compare(
        attacks, release, [PoolJudge()], public=some_images(COUNT, seed=5), galleries=[], resamples=100, progress=False
    )
    page = written(board, attacks, release, tmp_path)
    assert "mostly recovered" in page
    assert "invented: no attack recovers it" in page
    assert "no attack recovers a tenth of the differences between images at 4 to 15 half-waves" in page
    assert "standard deviation" not in page
    assert not (tmp_path / "report_samples.png").exists()
    assert read_run(tmp_path).exhibit.drawn is None  # type: ignore[union-attr]


def test_nothing_measured_is_invented_too() -> None:
    board = fi.compare(
        {"mean image": mean_image(), "blurred": blurred()},
        published(),
        [PoolJudge()],
        galleries=[],
        progress=False,
        resamples=100,
    )
    assert "it was not measured which details" in fine_details(Run("old", board))
    assert TITLE == "Recovered or invented"


def test_a_report_without_private_images_has_none_in_this_section(right: Any, tmp_path: Path) -> None:
    board, attacks, release, _ = right
    page = written(board, attacks, release, tmp_path, show_images=False)
    assert "image/png" not in page
    assert "part of all differences" in page
    text = fi.report.write(tmp_path, kind="markdown").read_text(encoding="utf-8")
    assert "## Recovered or invented" in text
    assert "over their error" in text
    assert "private images in the top row" not in text


def test_samples_are_of_images_that_the_report_shows_already_and_survive_the_file(right: Any, tmp_path: Path) -> None:
    board, attacks, release, _ = right
    exhibit = fi.report.choose_images(board, attacks, release)
    assert exhibit is not None
    assert exhibit.drawn is not None
    assert set(exhibit.drawn.rows) <= set(exhibit.rows["deciles"])
    board.save(tmp_path)
    exhibit.save(tmp_path)
    again = read_run(tmp_path).exhibit
    assert again is not None
    assert again.drawn is not None
    for name in ("rows", "originals", "samples", "mean", "known"):
        assert np.array_equal(getattr(again.drawn, name), getattr(exhibit.drawn, name))
    assert again.count == exhibit.count == len(np.unique(np.concatenate(list(exhibit.rows.values()))))
    file = tmp_path / "report_images.npz"
    arrays = dict(np.load(file))
    np.savez(file, **{**arrays, "samples/known": arrays["samples/known"] + 1})
    with pytest.raises(BadInput, match="samples of another shape"):
        read_run(tmp_path)


def test_a_sampler_that_repeats_itself_shows_nothing_and_the_board_says_why(tmp_path: Path) -> None:
    board, attacks, release, _ = scored(Repeats(), count=COUNT)
    assert read_calibration(board.protocol) is None
    assert "deterministic" in board.protocol["not_measured"][KEY]
    assert "no attack here draws samples" in written(board, attacks, release, tmp_path)
    few, *_ = scored(Drawing(), count=40)
    assert "at least 50 images" in few.protocol["not_measured"][KEY]


def test_a_guided_sampler_is_not_tested_and_controls_do_not_count() -> None:
    guided = Drawing()
    guided.guidance = 2
    assert KEY not in scored(guided, count=COUNT)[0].protocol
    control = Drawing()
    control.kind = "control"
    board, attacks, *_ = scored(control, count=COUNT)
    assert strongest_sampler(board, attacks) is None
    assert KEY not in board.protocol
