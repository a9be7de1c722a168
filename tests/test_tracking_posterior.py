"""Spectrum, calibration and samples of an attack in wandb, read back; private images only by permission."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_parts import PoolJudge, mean_image
from PIL import Image
from test_report_recovered import Drawing, scored
from tracked_records import Records, read_all

import featinv as fi
from featinv.evaluation import read_calibration, read_recovered
from featinv.tracking import Study, TrackingSettings
from featinv.tracking.posterior_record import samples_table
from featinv.tracking.probe_table import draw_probe


@pytest.fixture(scope="module")
def tested() -> tuple[fi.Scoreboard, dict[str, Any], fi.Release, fi.data.ImageSet]:
    return scored(Drawing(), count=60)


def logged(tested: Any, folder: Path, **settings: Any) -> dict[str, Records]:
    board, attacks, release, _ = tested
    Study(folder, TrackingSettings(probe=3, **settings)).log(board, attacks, release)
    return read_all(folder)


def shown(folder: Path) -> list[bytes]:
    files = [file for file in (folder / "wandb").rglob("*") if file.is_file()]
    contents = [content for file in files if (content := file.read_bytes()).startswith(b"\x89PNG")]
    return [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).tobytes() for content in contents]


def test_without_permission_there_are_numbers_and_curves_and_no_image(tested: Any, tmp_path: Path) -> None:
    board, _, release, _ = tested
    runs = logged(tested, tmp_path)
    run, record = runs["drawing"], read_calibration(board.protocol)
    assert record is not None
    spectrum = run.table("recovered/spectrum")
    expected = read_recovered(board.protocol)["drawing"].spectrum.shares
    rows = zip(spectrum["half_waves"], spectrum["colour"], spectrum["recovered"], spectrum["low"], strict=True)
    for octave, colour, share, low in rows:
        assert (share, low) == pytest.approx((expected[octave, colour].mean, expected[octave, colour].low))
    scales = run.table("calibration/scales")
    assert dict(zip(scales["scale"], scales["verdict"], strict=True)) == {e.scale: e.verdict for e in record.scales}
    coverage = run.table("calibration/coverage")
    assert len(coverage["level"]) == 101 * len([entry for entry in record.scales if entry.levels])
    assert "_wandb.visualize.plots/coverage" in run.config
    for key in ("recovered/figure", "calibration/figure"):
        assert run.image(key).mean() > 128
    assert "samples" not in str(run.summary)
    assert "calibration/scales" not in runs["mean image"].text
    originals = {release.truth.uint8(np.array([row]))[0].tobytes() for row in range(60)}  # type: ignore[union-attr]
    assert not originals & set(shown(tmp_path))


def test_with_permission_samples_and_maps_stand_beside_the_originals_of_the_probe(tested: Any, tmp_path: Path) -> None:
    board, attacks, release, _ = tested
    table = logged(tested, tmp_path, log_private_images=True)["drawing"].table("samples")
    chosen = draw_probe(board, 3)
    for place, row in enumerate(chosen):
        assert np.array_equal(table["original"][place], release.truth.uint8(np.array([row]))[0])
        sample = attacks["drawing"].sample(vector_of(release, row), 16, 0, first_row=int(row))[0]
        drawn = (255 * sample[1]).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(table["sample_2"][place], drawn)
        assert np.abs(table["mean"][place] - 255 * sample.mean(0).permute(1, 2, 0).numpy()).max() <= 0.51
        grey = table["standard_deviation"][place]
        assert np.array_equal(grey[..., 0], grey[..., 2])
        # Half of the variance is left open: a deviation of .71 on the scale from black to white.
        assert grey.mean() / 255 == pytest.approx(0.5**0.5, abs=0.06)


def vector_of(release: fi.Release, row: int) -> Any:
    return torch.from_numpy(release.features[[row]])


def test_what_does_not_draw_has_no_samples(tested: Any) -> None:
    board, _, release, _ = tested
    chosen = draw_probe(board, 3)
    assert samples_table(board, "mean image", mean_image(), release, chosen) is None
    assert samples_table(board, "drawing", Drawing(), None, chosen) is None
    alone = fi.compare(
        {"mean image": mean_image(), "drawing": Drawing()},
        release,
        [PoolJudge()],
        galleries=[],
        progress=False,
        resamples=100,
    )
    assert samples_table(alone, "drawing", Drawing(), release, chosen) is None
