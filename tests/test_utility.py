"""Utility of defended vectors, held against scikit-learn and against what must hold by derivation."""

import time

import numpy as np
import pytest
from alignment_clouds import rotation

from featinv.errors import BadInput
from featinv.evaluation import UtilityVectors, utility, utility_kept
from featinv.evaluation.utility import nearest_rows


def labelled(count: int, seed: int, *, classes: int = 4, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return Gaussian classes that overlap a little."""
    centres = np.random.default_rng(99).standard_normal((classes, width))
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(0, classes, count)
    return (2 + centres[labels] + drawn.standard_normal((count, width))).astype(np.float32), labels


def plain(vectors: np.ndarray, labels: np.ndarray | None) -> UtilityVectors:
    return UtilityVectors(vectors, vectors, labels)


def test_neighbours_votes_and_probe_are_those_of_scikit_learn() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.neighbors import KNeighborsClassifier

    (train, train_labels), (test, test_labels) = labelled(600, 0), labelled(300, 1)
    found = utility(plain(train, train_labels), plain(test, test_labels))
    mean = train.mean(axis=0)
    votes = KNeighborsClassifier(20, metric="cosine").fit(train - mean, train_labels).predict(test - mean)
    assert found.knn is not None
    assert abs(found.knn.mean() - (votes == test_labels).mean()) < 0.02  # ties among votes
    expected = LinearDiscriminantAnalysis().fit(train, train_labels).predict(test) == test_labels
    assert found.probe is not None
    assert found.probe.mean() == pytest.approx(expected.mean(), abs=0.007)  # two of 300: ours has a ridge penalty
    np.testing.assert_array_equal(found.recall, 1.0)


def test_the_probe_reads_a_class_that_lies_between_two_others() -> None:
    """Regression of one-hot labels never names the middle class of three on a line; a linear classifier does."""
    drawn = np.random.default_rng(5)
    labels = np.arange(600) % 3
    rows = (np.stack([4.0 * labels, 0.0 * labels], axis=1) + drawn.standard_normal((600, 2))).astype(np.float32)
    probe = utility(plain(rows[:400], labels[:400]), plain(rows[400:], labels[400:])).probe
    assert probe is not None
    # Two thresholds at two deviations: the middle class errs on both sides, the others on one.
    assert probe.mean() == pytest.approx(1 - 4 / 3 * 0.0228, abs=0.03)


def test_undefended_neighbours_are_searched_once() -> None:
    (train, train_labels), (test, test_labels) = labelled(300, 0), labelled(100, 1)
    raw = utility(plain(train, train_labels), plain(test, test_labels))
    noisy = UtilityVectors(test + 1, test, test_labels)
    again = utility(plain(train, train_labels), noisy, raw=raw)
    np.testing.assert_array_equal(again.recall, utility(plain(train, train_labels), noisy).recall)
    with pytest.raises(BadInput, match="raw: expected the utility of the same 50 images"):
        utility(plain(train, train_labels), plain(test[:50], test_labels[:50]), raw=raw)


def test_average_precision_by_hand() -> None:
    from sklearn.metrics import average_precision_score

    (train, train_labels), (test, test_labels) = labelled(50, 0), labelled(20, 1)
    found = utility(plain(train, train_labels), plain(test, test_labels))
    order = nearest_rows(test, train, 50)
    # The whole bank is among the 50 nearest: average precision is then scikit-learn's.
    expected = [
        average_precision_score(train_labels[row] == label, -np.arange(50))
        for row, label in zip(order, test_labels, strict=True)
    ]
    assert found.average_precision is not None
    assert found.average_precision.mean() == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_rotation_costs_nothing_and_noise_costs_instances_before_classes() -> None:
    (train, train_labels), (test, test_labels) = labelled(800, 0), labelled(400, 1)
    raw = utility(plain(train, train_labels), plain(test, test_labels))
    turn = rotation(12).astype(np.float32)
    turned = utility(UtilityVectors(train @ turn, train, train_labels), UtilityVectors(test @ turn, test, test_labels))
    assert turned.recall.mean() > 0.999
    drawn = np.random.default_rng(3)
    noisy = [
        UtilityVectors((rows + 0.7 * drawn.standard_normal(rows.shape)).astype(np.float32), rows, labels)
        for rows, labels in ((train, train_labels), (test, test_labels))
    ]
    found = utility(*noisy)
    assert raw.probe is not None
    assert found.probe is not None
    classes = utility_kept(found.probe, raw.probe)
    instances = utility_kept(found.recall, raw.recall)
    assert instances.high < classes.low
    assert 0 < classes.mean <= 1.02
    assert "class utility: probe" in str(found)
    assert "instance utility: recall@10" in str(found)


def test_codes_keep_classes_and_lose_neighbours() -> None:
    (train, train_labels), (test, test_labels) = labelled(800, 0), labelled(400, 1)
    centres = np.stack([train[train_labels == one].mean(axis=0) for one in range(4)])

    def coded(rows: np.ndarray) -> np.ndarray:
        return centres[np.square(rows[:, None] - centres).sum(axis=2).argmin(axis=1)]

    # Sorted by class, so that ties broken by the order of the rows would look like neighbours.
    order = np.argsort(train_labels, kind="stable")
    public = UtilityVectors(coded(train), train, train_labels).take(order)
    found = utility(public, UtilityVectors(coded(test), test, test_labels))
    raw = utility(plain(train, train_labels), plain(test, test_labels))
    assert found.probe is not None
    assert raw.probe is not None
    assert found.probe.mean() > 0.95 * raw.probe.mean()
    assert found.recall.mean() < 0.15


def test_the_untouched_head_reads_vectors_of_its_width_only() -> None:
    train, labels = labelled(400, 0)
    centres = np.stack([train[labels == one].mean(axis=0) for one in range(4)])

    def head(rows: np.ndarray) -> np.ndarray:
        return -np.square(rows[:, None] - centres).sum(axis=2)

    found = utility(plain(train, labels), head=head)
    assert found.head is not None
    assert found.head.mean() > 0.8
    assert len(found.head) == 80
    narrow = utility(UtilityVectors(train[:, :3], train, labels), head=head)
    assert narrow.head is None
    none = utility(plain(train, None))
    assert none.probe is None
    assert "no labels" in str(none)
    with pytest.raises(BadInput, match=r"head: expected logits"):
        utility(plain(train, labels), head=lambda rows: rows[:3])


def test_the_interval_of_a_ratio_covers_it() -> None:
    drawn = np.random.default_rng(0)
    covered = 0
    for seed in range(25):
        raw = drawn.random(200) < 0.9
        defended = raw & (drawn.random(200) < 0.8)
        found = utility_kept(defended, raw, seed=seed)
        covered += found.low <= 0.8 <= found.high
    assert covered >= 20


def test_ten_thousand_vectors_take_seconds() -> None:
    vectors = np.random.default_rng(0).standard_normal((10_000, 64), dtype=np.float32)
    started = time.process_time()
    found = utility(plain(vectors, np.arange(10_000) % 10))
    assert time.process_time() - started < 20
    assert found.probe is not None
    assert abs(found.probe.mean() - 0.1) < 0.03  # no vector says anything of these labels
    np.testing.assert_array_equal(found.recall, 1.0)


def test_bad_input_of_utility_is_one_line() -> None:
    vectors, labels = labelled(100, 0)
    broken = vectors.copy()
    broken[3, 0] = np.nan
    with pytest.raises(BadInput, match=r"labels: expected one for each of 100 vectors, got 7"):
        plain(vectors, labels[:7])
    with pytest.raises(BadInput, match=r"clean: expected 100 vectors, one an image, got 99"):
        UtilityVectors(vectors, vectors[1:], labels)
    with pytest.raises(BadInput, match=r"defended: expected finite"):
        plain(broken, labels)
    with pytest.raises(BadInput, match=r"at least 2 classes, got one"):
        utility(plain(vectors, np.zeros(100, dtype=np.int64)))
    with pytest.raises(BadInput, match=r"more than 20 public vectors to vote, got 16"):
        utility(plain(vectors[:20], labels[:20]))
    with pytest.raises(BadInput, match=r"one side only"):
        utility(plain(vectors, labels), plain(vectors, None))
    with pytest.raises(BadInput, match=r"held_out: expected defended vectors of width"):
        utility(plain(vectors, labels), plain(vectors[:, :3], labels))
    with pytest.raises(BadInput, match=r"no utility by this measure"):
        utility_kept(np.zeros(5), np.zeros(5))
    with pytest.raises(BadInput, match=r"same images, at least 2, got 5 and 4"):
        utility_kept(np.ones(5), np.ones(4))
