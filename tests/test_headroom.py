"""What a judge could find if the drawing were perfect: predicted features, never an attack, never the best control."""

import numpy as np
import pytest
import torch
from evaluation_parts import SIZE, FlatEncoder, PoolJudge, blurred, mean_image, perfect, some_images
from scipy import stats

import featinv as fi
from featinv.evaluation.attack_score import PREDICTED
from featinv.evaluation.columns import Columns
from featinv.evaluation.feature_prediction import predict_closed_form, predict_contrastive, whitener
from featinv.evaluation.headroom import CLOSED_FORM, WHITENED
from featinv.evaluation.intervals import Interval, ratio_of, wilson
from featinv.evaluation.reidentification import ranks

DIRECTIONS = 12


def toy(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features in which the vector determines the small directions well and the large ones badly.

    Direction k has the part a_k u_k (u_k in the vector) plus noise b_k: large directions are mostly noise.
    """
    dice = np.random.default_rng(seed)
    vectors = dice.normal(size=(count, DIRECTIONS))
    known = np.array([0.3] * 6 + [0.3] * 6)
    noise = np.array([0.03] * 6 + [3.0] * 6)
    return vectors, vectors * known + dice.normal(size=(count, DIRECTIONS)) * noise


@pytest.fixture(scope="module")
def board() -> fi.evaluation.Scoreboard:
    public, private = some_images(300, seed=1), some_images(60, seed=2)
    victim = fi.Victim(FlatEncoder())
    pairs = fi.extract(victim, public)
    release = fi.release(victim, private, seed=0)
    attacks = {"grey": mean_image(), "soft": blurred(), "copy": perfect()}
    judges = [PoolJudge(), PoolJudge("second", "pooling too")]
    return fi.compare(attacks, release, judges, galleries=[30], headroom=pairs, progress=False)


def test_both_forms_find_what_squared_error_does_not() -> None:
    """The best squared-error prediction is the conditional mean, which here is the linear one."""
    vectors, features = toy(3000, 0)
    asked, truth = toy(400, 1)
    gallery = truth - truth.mean(0)
    mean = asked * 0.3
    plain = np.mean(ranks(mean, gallery) <= 10)
    closed = np.mean(ranks(predict_closed_form(vectors, features, asked).directions.astype(np.float64), gallery) <= 10)
    contrastive = predict_contrastive(vectors, features, asked)
    learnt = np.mean(ranks(contrastive.directions.astype(np.float64), gallery) <= 10)
    assert closed > 2 * plain
    assert learnt > 2 * plain
    assert contrastive.chosen["tau"] in (0.025, 0.05, 0.1)


def test_the_closed_form_is_the_mean_times_the_inverse_residual_covariance() -> None:
    """In the Gaussian toy: direction k of the answer is 0.3 u_k over the variance of its noise, up to one factor."""
    vectors, features = toy(8000, 0)
    asked, _ = toy(50, 1)
    answer = predict_closed_form(vectors, features, asked).directions[:, :6]
    expected = asked[:, :6]
    cosines = (answer * expected).sum(1) / np.linalg.norm(answer, axis=1) / np.linalg.norm(expected, axis=1)
    assert float(cosines.min()) > 0.95


def test_whitened_features_have_no_correlation_left() -> None:
    dice = np.random.default_rng(0)
    features = dice.normal(size=(5000, 4)) @ dice.normal(size=(4, 4)) + 3
    white = features @ whitener(features, shrink=1e-9).T
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(4), atol=1e-6)


def test_the_rows_are_controls_that_nobody_has_to_beat(board: fi.evaluation.Scoreboard) -> None:
    """The vector is the image, so the judge's features can be predicted: no row without an image may be the bar."""
    for name in (PREDICTED, CLOSED_FORM):
        row = board[name]
        assert (row.kind, row.role) == ("control", "headroom")
        assert not row.counts_as_control
        assert row.metrics["reid_top10"].mean > 0.5
        assert {"second", "gallery 30", WHITENED} <= set(row.metrics_by)
        assert "psnr" not in row.metrics
        assert "attack_strength" not in row.metrics
    assert board.protocol["best_control"] not in (PREDICTED, CLOSED_FORM)
    assert board.leak_level is not None
    assert PREDICTED not in str(board.leak_level)
    places = [row.name for row in board.attacks]
    assert places.index(PREDICTED) < places.index("soft")


def test_headroom_is_the_ratio_of_the_two_rates(board: fi.evaluation.Scoreboard) -> None:
    found, most = (np.mean(board.per_image[f"{name}/rank"] <= 10) for name in ("soft", PREDICTED))
    share = board["soft"].metrics["headroom"]
    assert share.mean == pytest.approx(found / most)
    assert share.low < share.mean < share.high
    assert "headroom" in board["soft"].metrics_by["second"]
    assert "headroom" not in board["grey"].metrics
    assert any("headroom: finds" in note for note in board["soft"].notes)


def test_the_whitened_view_is_a_view_of_everything_and_decides_nothing(board: fi.evaluation.Scoreboard) -> None:
    assert board["copy"].metrics_by[WHITENED]["reid_top1"].mean == 1
    assert WHITENED in board["grey"].metrics_by
    assert WHITENED not in Columns(board.per_image, board.protocol, board.attacks).independent


def test_a_board_without_public_pairs_has_none_of_it() -> None:
    victim = fi.Victim(FlatEncoder())
    release = fi.release(victim, some_images(40, seed=2), seed=0)
    board = fi.compare({"grey": mean_image(), "copy": perfect()}, release, [PoolJudge()], galleries=[], progress=False)
    assert PREDICTED not in [row.name for row in board.attacks]
    assert WHITENED not in board["copy"].metrics_by


def test_it_goes_through_a_file(board: fi.evaluation.Scoreboard, tmp_path: object) -> None:
    board.save(tmp_path)  # type: ignore[arg-type]
    read = fi.evaluation.load_scoreboard(tmp_path)  # type: ignore[arg-type]
    assert read[PREDICTED] == board[PREDICTED]
    assert read["soft"].metrics["headroom"] == board["soft"].metrics["headroom"]


def test_the_interval_of_a_ratio_covers_it() -> None:
    """Two independent rates, 0.4 over 0.8: the interval holds the ratio in about 95 of 100 studies."""
    dice = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        top, bottom = (wilson(int(dice.binomial(300, p)), 300) for p in (0.4, 0.8))
        share = ratio_of(top, bottom)
        inside += share.low <= 0.5 <= share.high
    low, high = stats.binom.ppf([0.001, 0.999], 400, 0.95)
    assert low <= inside <= high
    assert isinstance(share, Interval)


def test_no_attack_may_take_the_name_of_the_rows() -> None:
    for name in (PREDICTED, CLOSED_FORM):
        with pytest.raises(fi.BadInput, match="means a row that the scorer makes"):
            fi.evaluation.check_attack_names([name])


def test_pairs_that_do_not_fit_are_refused() -> None:
    victim = fi.Victim(FlatEncoder())
    release = fi.release(victim, some_images(40, seed=2), seed=0)
    few = fi.extract(victim, some_images(20, seed=1))
    attacks = {"grey": mean_image(), "copy": perfect()}
    with pytest.raises(fi.BadInput, match=r"headroom: expected at least 40 public pairs, got 20"):
        fi.compare(attacks, release, [PoolJudge()], headroom=few, progress=False)
    other = fi.Pairs(torch.rand(60, 5).numpy(), some_images(60, seed=1))
    with pytest.raises(fi.BadInput, match=rf"headroom: expected public vectors of shape \({3 * SIZE * SIZE},\)"):
        fi.compare(attacks, release, [PoolJudge()], headroom=other, progress=False)
