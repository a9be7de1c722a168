"""What is measured when asked for: distances of distributions, memorisation, attributes, the target's cosine."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from evaluation_parts import PoolJudge, Stub, blurred, mean_image, perfect, published, some_images
from torch import Tensor, nn

import featinv as fi
from featinv import BadInput
from featinv.data import ImageSet
from featinv.evaluation import Scoreboard, compare, load_scoreboard
from featinv.evaluation.catalogue import ON_REQUEST
from featinv.evaluation.distribution import _frechet, _kernel, frechet_distance, kernel_distance
from featinv.evaluation.leak_level import not_tried
from featinv.evaluation.probes import memorisation, probe_hits

FAST: dict[str, Any] = {"resamples": 200, "progress": False}


def rows(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, width)) + shift).astype(np.float32)


def test_fid_is_the_frechet_distance() -> None:
    first, second = rows(400, 12, 0).astype(np.float64), rows(400, 12, 1, shift=0.2).astype(np.float64) * 1.3
    one, two = np.cov(first.T), np.cov(second.T)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(
        one + two - 2 * scipy.linalg.sqrtm(one @ two).real
    )
    assert _frechet(second.astype(np.float32), first.astype(np.float32)) == pytest.approx(expected, rel=1e-4)


def test_kid_is_the_unbiased_mmd() -> None:
    first, second = rows(150, 8, 0), rows(150, 8, 1, shift=0.3)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a.astype(np.float64) @ b.astype(np.float64).T / 8 + 1) ** 3

    own = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (150 * 149) for x in (first, second)]
    assert _kernel(second, first) == pytest.approx(sum(own) - 2 * kernel(first, second).mean(), rel=1e-6)


def test_kid_of_equal_distributions_is_zero_within_its_interval_and_of_copies_too() -> None:
    inside = 0
    for seed in range(60):
        found = kernel_distance(rows(200, 8, 2 * seed), rows(200, 8, 2 * seed + 1))
        inside += found.low <= 0 <= found.high
    assert inside >= 51
    copies = kernel_distance(rows(1000, 8, 0), rows(1000, 8, 0))
    assert abs(copies.mean) < copies.high - copies.low
    assert kernel_distance(rows(200, 8, 0, shift=0.5), rows(200, 8, 1)).low > 0


def test_fid_covers_a_repetition() -> None:
    found = frechet_distance(rows(1000, 6, 0, shift=0.3), rows(1000, 6, 1))
    assert found.low < _frechet(rows(1000, 6, 2, shift=0.3), rows(1000, 6, 3)) < found.high
    assert pytest.approx(found.mean, rel=0.2) == 0.3**2 * 6


def test_too_few_images_are_refused_in_words() -> None:
    with pytest.raises(BadInput, match="kernel distance: expected at least 200 images on 8 features, got 199"):
        kernel_distance(rows(199, 8, 0), rows(199, 8, 1))
    with pytest.raises(BadInput, match="frechet distance: expected at least 1,000 images on 8 features, got 999"):
        frechet_distance(rows(999, 8, 0), rows(999, 8, 1))
    with pytest.raises(BadInput, match="frechet distance: expected at least 1,200 images on 600 features, got 1,000"):
        frechet_distance(rows(1000, 600, 0), rows(1000, 600, 1))


def test_reciting_is_being_nearer_to_a_training_image() -> None:
    public, original = rows(50, 6, 0), rows(40, 6, 1)
    assert all(answer.all() for answer in memorisation(public[:40], original, public))
    assert not memorisation(original, original, public)[0].any()
    mixed = original.copy()
    mixed[:10] = public[:10] + 0.01
    centre = original.mean(0)
    naive, of_all = [], []
    for row, (made, own) in enumerate(zip(mixed, original, strict=True)):
        cosine = [np.dot(made - centre, other - centre) / np.linalg.norm(other - centre) for other in (own, *public)]
        naive.append(max(cosine[1:]) > cosine[0])
        everything = [*public, *np.delete(original, row, axis=0)]
        cosine = [np.dot(made - centre, other - centre) / np.linalg.norm(other - centre) for other in everything]
        of_all.append(int(np.argmax(cosine)) < len(public))
    found = memorisation(mixed, original, public)
    assert (found[0].tolist(), found[1].tolist()) == (naive, of_all)


def test_a_reconstruction_that_memorises_nothing_has_a_public_neighbour_by_chance() -> None:
    """Hand-derived: of M + N - 1 images that are alike, the nearest is a public one in M / (M + N - 1) cases."""
    public, original = rows(700, 8, 0), rows(301, 8, 1)
    _, found = memorisation(rows(301, 8, 2), original, public)
    assert abs(found.mean() - 0.7) < 3.5 * np.sqrt(0.7 * 0.3 / 301)


@pytest.mark.parametrize(("count", "width"), [(300, 5), (80, 200)])
def test_a_probe_reads_what_is_there_and_no_more(count: int, width: int) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, count)
    features = generator.normal(size=(count, width))
    assert abs(probe_hits(features, labels, 0).mean() - 1 / 3) < 3.5 * np.sqrt(2 / 9 / count)
    features[:, :3] += 6 * np.eye(3)[labels] * (1 if width < count else 3)
    assert probe_hits(features, labels, 0).mean() > 0.7
    assert probe_hits(np.zeros((count, width)), labels, 0).mean() <= np.bincount(labels).max() / count + 0.05


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    """Classes are the brightest channel, which vectors and good reconstructions show and grey ones do not."""
    plain = some_images(240)
    brightest = plain.batch(np.arange(240)).mean((2, 3)).argmax(1).numpy()
    truth = ImageSet(
        plain.uint8(np.arange(240)),
        ids=plain.ids,
        labels=brightest,
        factors={"alone": np.arange(240), "brightest": brightest},
    )
    attacks = {"mean image": mean_image(), "blurred": blurred(), "perfect": perfect()}
    return compare(attacks, published(truth), [PoolJudge()], metrics="full", public=some_images(100, seed=9), **FAST)


def test_everything_is_measured_or_said_why_not(board: Scoreboard) -> None:
    protocol = board.protocol
    assert protocol["panel"] == ["judge_kd", "identified_bits", "memorised", "attributes", "target_cosine"]
    assert set(protocol["panel"]) | set(protocol["not_measured"]) == set(ON_REQUEST)
    why = protocol["not_measured"]
    assert why["ms_ssim"] == "five scales need images of 176 px, these have 16"
    assert why["judge_fd"] == "expected at least 1,000 images on 1 features, got 240"
    assert "no sound ImageNet weights of alexnet" in why["lpips"]
    assert "/" not in why["lpips"]
    text = str(board)
    assert "Not measured: dists (" in text
    assert "no nearest neighbour among the controls" in text


def test_what_is_measured_is_right(board: Scoreboard) -> None:
    assert board["perfect"].metrics["memorised"].mean == 0
    assert board["mean image"].metrics["memorised"].mean > 0.5
    assert board["blurred"].metrics["nearest_public_rate"].chance == pytest.approx(100 / 339)
    assert board["perfect"].metrics["target_cosine"].mean == pytest.approx(1)
    assert board["blurred"].metrics["target_cosine"].mean < 0.999
    assert np.isfinite(board["mean image"].metrics["judge_kd"].mean)
    assert "mismatched features (perfect)" in [row.name for row in board.attacks]
    assert "judge_kd" not in board["mismatched features (perfect)"].metrics


def test_attributes_stand_beside_the_vector_the_original_and_the_prior(board: Scoreboard) -> None:
    metadata = board.protocol["attributes"]
    assert set(metadata) == {"label"}  # one value an image is no attribute, and neither are the labels once more
    found = {row: board[row].metrics["attribute label"] for row in ("mean image", "blurred", "perfect")}
    assert {interval.chance for interval in found.values()} == {metadata["label"]["prior"]}
    assert found["perfect"].mean == metadata["label"]["original"]["mean"] > 0.6
    assert found["mean image"].high < found["blurred"].low
    assert metadata["label"]["vector"]["mean"] > metadata["label"]["prior"]
    assert board.per_image["perfect/attribute label"].dtype == bool


def test_what_was_read_off_the_vectors_is_no_longer_untried(board: Scoreboard) -> None:
    assert board.leak_level is not None
    assert "reading other attributes than label from the vectors" in board.leak_level.not_tried
    many = not_tried({**board.protocol, "attributes": {name: {} for name in "abcd"}}, None)
    assert "reading other attributes than the 4 measured ones from the vectors" in many
    plain = compare({"mean image": mean_image(), "perfect": perfect()}, published(), [PoolJudge()], **FAST)
    assert plain.leak_level is not None
    assert "reading attributes from the vectors without any image" in plain.leak_level.not_tried


def test_the_extras_are_saved_and_read_back(board: Scoreboard, tmp_path: Any) -> None:
    board.save(tmp_path)
    again = load_scoreboard(tmp_path)
    assert again.attacks == board.attacks
    assert again.protocol["attributes"] == board.protocol["attributes"]
    assert again.leak_level == board.leak_level


def test_the_default_measures_none_of_it_and_says_how_to() -> None:
    attacks = {"mean image": mean_image(), "perfect": perfect()}
    known = compare(attacks, published(), [PoolJudge()], **FAST)
    assert known.protocol["panel"] == []
    assert known.protocol["not_measured"]["judge_kd"] == "not asked for: metrics='full' or ['judge_kd'] does"
    assert "Not measured" not in str(known)
    some = compare(attacks, published(), [PoolJudge()], metrics=["target_cosine", "memorised"], **FAST)
    assert some.protocol["panel"] == ["target_cosine"]
    assert some.protocol["not_measured"]["memorised"] == "the public images are not at hand; give public="
    with pytest.raises(
        BadInput, match="metrics: no metric 'vmaf'; There are ms_ssim, lpips, .*, or 'default' or 'full'"
    ):
        compare(attacks, published(), [PoolJudge()], metrics=["vmaf"], **FAST)


def test_a_failed_reconstruction_is_the_worst_of_every_extra() -> None:
    def broken(features: Tensor) -> Tensor:
        images = features.reshape(len(features), 3, 16, 16).clone()
        images[0] = float("nan")
        return images

    truth = some_images(220)
    attacks = {"mean image": mean_image(), "broken": Stub(broken)}
    known = compare(
        attacks, published(truth), [PoolJudge()], metrics=["judge_kd", "target_cosine", "memorised"], **FAST
    )
    failed = known.per_image["broken/failed"]
    assert failed.any()
    assert known.per_image["broken/target_cosine"][failed].max() == known.per_image["mean image/target_cosine"].min()
    assert known.per_image["broken/reid_auc/within class"][failed].tolist() == [0.0] * int(failed.sum())
    assert "reconstructions were no images" in " ".join(known["broken"].notes)
    assert np.isfinite(known["broken"].metrics["judge_kd"].mean)


class _Perceptive(nn.Module):
    """Stands for AlexNet, and for an attack trained to please it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(40, 40)


def test_a_metric_does_not_judge_an_attack_that_learnt_from_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = _Perceptive()
    distance = lambda ours, theirs: (ours - theirs).abs().mean((1, 2, 3))  # noqa: E731
    monkeypatch.setattr("featinv.evaluation.extras.network", lambda name: learnt)
    monkeypatch.setattr("featinv.evaluation.chosen_metrics.network", lambda name: learnt)
    monkeypatch.setattr(fi.metrics, "lpips", distance)
    pleasing = blurred()
    pleasing.objective = learnt  # type: ignore[attr-defined]
    attacks = {"mean image": mean_image(), "pleasing": pleasing, "perfect": perfect()}
    known = compare(attacks, published(), [PoolJudge()], metrics=["lpips"], **FAST)
    assert "lpips" in known["perfect"].metrics
    assert "lpips" not in known["pleasing"].metrics
    assert "lpips not measured: the attack was trained with the weights of its network" in known["pleasing"].notes
    assert "lpips/mismatched features" in {key.removeprefix("perfect/") for key in known.per_image}
    verdict = known.versus("perfect", "pleasing")
    assert verdict.families["perceptual"].side == "not measured"
    assert known.versus("perfect", "mean image").families["perceptual"].side == "better"


def test_torch_is_not_told_to_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    attacks = {"mean image": mean_image(), "perfect": perfect()}
    known = compare(attacks, published(), [PoolJudge()], metrics=["lpips", "dists"], **FAST)
    assert known.protocol["panel"] == []
