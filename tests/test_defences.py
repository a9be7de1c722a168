"""What defences do: strengths, learning from public features, chains, refusals; contracts are tested apart."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import nn

import featinv as fi
from featinv import defences
from featinv.defences import GaussianNoise
from featinv.errors import BadInput


def test_noise_is_normal_with_the_standard_deviation_asked_for() -> None:
    features = torch.linspace(-5, 5, 200).repeat(500, 1)
    noise = (GaussianNoise(0.3)(features) - features).double().numpy()
    # Kolmogorov-Smirnov against N(0, 0.3²): independent of our arithmetic; a std off by 2 % fails at this count.
    assert stats.kstest(noise.ravel(), "norm", args=(0, 0.3)).pvalue > 1e-3
    between_rows = abs(stats.pearsonr(noise[0::2].ravel(), noise[1::2].ravel()).statistic)
    assert between_rows < 4 / (noise.size / 2) ** 0.5


def test_noise_follows_the_global_generator() -> None:
    features, defence = torch.zeros(6, 4), GaussianNoise(1)
    torch.manual_seed(1)
    first, second = defence(features), defence(features)
    torch.manual_seed(1)
    assert torch.equal(defence(features), first)
    assert not torch.equal(first, second)


def test_variances_add_in_a_sequence() -> None:
    both = nn.Sequential(GaussianNoise(0.3), GaussianNoise(0.4))
    assert both(torch.zeros(2000, 50)).std().item() == pytest.approx(0.5, rel=0.02)
    assert repr(GaussianNoise(0.25)) == "GaussianNoise(std=0.25)"


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf"), True])
def test_a_strength_that_is_none_is_refused(std: float) -> None:
    with pytest.raises(BadInput, match=r"^std: expected a finite number of at least 0.*got"):
        GaussianNoise(std)


PUBLIC = torch.from_numpy(
    (np.random.default_rng(0).normal(size=(600, 12)) * np.linspace(3, 0.2, 12) + 1).astype(np.float32)
)


def fitted(defence: nn.Module, labels: np.ndarray | None = None) -> nn.Module:
    return defences.fit(defence, PUBLIC, labels)


def test_laplace_noise_has_the_distribution_asked_for() -> None:
    noise = defences.Laplace(0.7)(torch.zeros(500, 200)).double().numpy().ravel()
    assert stats.kstest(noise, "laplace", args=(0, 0.7)).pvalue > 1e-3


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
def test_shaped_noise_has_the_energy_asked_for_and_a_power_of_the_covariance(exponent: float) -> None:
    defence = fitted(defences.ShapedNoise(0.4, exponent))
    torch.manual_seed(0)
    noise = defence(torch.zeros(200_000, 12)).double().numpy()
    covariance = np.cov(noise, rowvar=False)
    assert np.trace(covariance) / 12 == pytest.approx(0.4**2, rel=0.01)
    # The power by another road: a matrix function of the public covariance.
    values, basis = np.linalg.eigh(np.cov(PUBLIC.numpy(), rowvar=False))
    power = basis @ np.diag(values**exponent) @ basis.T
    np.testing.assert_allclose(covariance, power * 0.4**2 * 12 / np.trace(power), atol=0.02)


def test_clip_bounds_lengths_and_keeps_directions_and_short_vectors() -> None:
    made = defences.Clip(2)(PUBLIC)
    lengths = PUBLIC.norm(dim=1)
    torch.testing.assert_close(made.norm(dim=1), lengths.clamp(max=2))
    torch.testing.assert_close(nn.functional.cosine_similarity(made, PUBLIC), torch.ones(600))
    assert torch.equal(made[lengths < 2], PUBLIC[lengths < 2])


def test_top_k_keeps_the_largest_magnitudes() -> None:
    made = defences.TopK(2)(torch.tensor([[1.0, -5.0, 2.0, 0.5]]))
    assert made.tolist() == [[0.0, -5.0, 2.0, 0.0]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("per", ["number", "all"])
def test_uniform_has_so_many_values_and_errs_by_half_a_step(bits: int, per: str) -> None:
    made = fitted(defences.Uniform(bits, per=per))(PUBLIC).numpy()
    axis = 0 if per == "number" else None
    steps = (PUBLIC.numpy().max(axis=axis) - PUBLIC.numpy().min(axis=axis)) / (2**bits - 1)
    assert len(np.unique(made[:, 3])) <= 2**bits
    assert (np.abs(made - PUBLIC.numpy()) <= steps / 2 + 1e-5).all()
    outside = fitted(defences.Uniform(bits))(PUBLIC + 100)
    torch.testing.assert_close(outside, PUBLIC.max(dim=0).values.expand(600, 12))


def test_signs_are_those_of_the_centred_features() -> None:
    made = fitted(defences.Sign())(PUBLIC).numpy()
    mean = PUBLIC.numpy().mean(axis=0)
    assert ((made > mean) == (PUBLIC.numpy() > mean)).all()
    assert all(len(np.unique(made[:, number])) == 2 for number in range(12))


def test_pca_leaves_the_smallest_error_of_that_rank() -> None:
    defence = fitted(defences.PCA(4))
    made = defence(PUBLIC).numpy()
    # Eckart and Young: the squared error of the best rank-4 fit is the sum of the smaller eigenvalues.
    values = np.linalg.eigvalsh(np.cov(PUBLIC.numpy(), rowvar=False, bias=True))
    assert np.square(made - PUBLIC.numpy()).sum() / 600 == pytest.approx(values[:8].sum(), rel=1e-4)
    coordinates = fitted(defences.PCA(4, coordinates=True))(PUBLIC)
    assert coordinates.shape == (600, 4)
    torch.testing.assert_close(coordinates @ defence.components + defence.mean, torch.from_numpy(made))


def test_a_codebook_releases_the_nearest_of_its_centres() -> None:
    defence = fitted(defences.Codebook(3))
    made = defence(PUBLIC)
    distances = torch.cdist(PUBLIC.double(), defence.centres.double())
    torch.testing.assert_close((made - PUBLIC).norm(dim=1).double(), distances.min(dim=1).values, atol=1e-5, rtol=0)
    assert len(made.unique(dim=0)) == 8
    assert torch.equal(defence.codes(made), defence.codes(PUBLIC))


def test_product_codes_are_codebooks_of_the_pieces() -> None:
    defence = fitted(defences.ProductCodes(5, 2))  # 12 numbers in pieces of 3, 3, 2, 2, 2
    made = defence(PUBLIC)
    assert [len(made[:, piece].unique(dim=0)) for piece in ([0, 1, 2], [3, 4, 5], [6, 7], [8, 9], [10, 11])] == 5 * [4]
    alone = defences.Codebook(2).fit(PUBLIC[:, 6:8].contiguous())
    assert torch.equal(made[:, 6:8], alone(PUBLIC[:, 6:8]))
    assert defence.code_bits() == 10


@pytest.mark.parametrize("k", [2, 3, 7, 299, 300, 301, 600])
def test_microaggregation_releases_means_of_groups_of_at_least_k(k: int) -> None:
    made = defences.Microaggregate(k)(PUBLIC)
    rows, group, sizes = np.unique(made.numpy(), axis=0, return_inverse=True, return_counts=True)
    assert k <= sizes.min() <= sizes.max() < 2 * k
    means = np.stack([PUBLIC.numpy()[group.ravel() == each].mean(axis=0) for each in range(len(rows))])
    np.testing.assert_allclose(rows, means, atol=1e-5)


def test_microaggregation_groups_what_is_alike_also_among_many_numbers() -> None:
    draw = np.random.default_rng(1)
    people = np.repeat(draw.normal(size=(50, 100)) * 10, 4, axis=0)[draw.permutation(200)]
    vectors = torch.from_numpy((people + 0.01 * draw.normal(size=people.shape)).astype(np.float32))
    made = defences.Microaggregate(4)(vectors)
    assert float((made - vectors).abs().max()) < 0.1


def test_a_rotation_keeps_distances_and_differs_by_key() -> None:
    made = [fitted(defences.RandomRotation(key))(PUBLIC) for key in ("one", "two", "one")]
    apart = [torch.cdist(each.double(), each.double()) for each in (made[0], PUBLIC)]
    torch.testing.assert_close(*apart, atol=1e-5, rtol=0)
    assert torch.equal(made[0], made[2])
    assert float((made[0] - made[1]).abs().mean()) > 0.5
    assert "secret" not in repr(defences.RandomRotation("secret"))


def test_no_linear_classifier_predicts_a_removed_attribute() -> None:
    labels = np.random.default_rng(2).integers(0, 3, size=600)
    features = PUBLIC + torch.from_numpy(np.eye(3)[labels] @ np.random.default_rng(3).normal(size=(3, 12))).float()
    made = defences.RemoveSubspace("group").fit(features, labels)(features)
    scores = [
        LogisticRegression(C=1e6, max_iter=5000).fit(each.double().numpy(), labels).score(each.double().numpy(), labels)
        for each in (features, made)
    ]
    majority = np.bincount(labels).max() / 600
    assert scores[0] > majority + 0.2
    assert scores[1] == pytest.approx(majority, abs=1e-9)
    changed = np.linalg.matrix_rank((made - features).double().numpy(), tol=1e-3)
    assert changed == 2


class Doubled(defences.Defence):
    def _defend(self, rows: torch.Tensor) -> torch.Tensor:
        return 2 * rows


def test_what_a_defence_of_ones_own_inherits() -> None:
    features = torch.randn(5, 3, 2, 2)
    assert torch.equal(Doubled()(features), 2 * features)
    assert torch.equal(defences.log_likelihood(Doubled(), 2 * features, features) == 0, torch.eye(5).bool())
    learned = [name for name in defences.__all__ if isinstance(getattr(defences, name), type)]
    learned = [name for name in learned if issubclass(getattr(defences, name), defences.Learned)]
    assert {"Codebook", "PCA", "ShapedNoise", "Uniform"} <= set(learned)


def test_a_chain_is_fitted_part_by_part_and_applied_in_order() -> None:
    chain = fitted(nn.Sequential(defences.PCA(5, coordinates=True), nn.Sequential(defences.Sign())))
    made = chain(PUBLIC)
    assert made.shape == (600, 5)
    assert [len(column.unique()) for column in made.T] == 5 * [2]
    assert [type(part).__name__ for part in defences.parts(chain)] == ["PCA", "Sign"]
    assert defences.fingerprint(chain) != defences.fingerprint(fitted(nn.Sequential(defences.PCA(5, True))))


def test_fingerprints_tell_strengths_keys_and_learned_numbers_apart() -> None:
    made = [
        fitted(defences.Codebook(2)),
        fitted(defences.Codebook(3)),
        defences.Codebook(2).fit(PUBLIC + 1),
        fitted(defences.RandomRotation(1)),
        fitted(defences.RandomRotation("1")),
        defences.Clip(1),
        defences.TopK(1),
    ]
    assert len({defences.fingerprint(each) for each in made}) == len(made)
    assert defences.fingerprint(made[0]) == defences.fingerprint(fitted(defences.Codebook(2)))


def victim_and_images() -> tuple[fi.Victim, fi.data.ImageSet]:
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    encoder = fi.encoders.wrap(network, name="means", family="averages", trained_on="nothing", input_size=32)
    return fi.Victim(encoder), fi.data.scenes(40, size=32, seed=0)


def test_a_release_is_microaggregated_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    bare, images = victim_and_images()
    victim = fi.Victim(bare.encoder, defences.Microaggregate(10))
    monkeypatch.setattr("featinv.victim.published.BLOCK", 16)
    _, sizes = np.unique(fi.release(victim, images).features, axis=0, return_counts=True)
    assert sizes.min() >= 10
    assert defences.whole_release(victim.defence)
    assert defences.least_batch(victim.defence) == 10
    with pytest.raises(BadInput, match=r"Microaggregate\(k=10\): expected at least 10 vectors at once, got 3"):
        fi.release(victim, images.take(np.arange(3)))


def test_a_defence_fitted_on_another_encoder_is_refused() -> None:
    bare, images = victim_and_images()
    defence = defences.fit(nn.Sequential(defences.PCA(3), GaussianNoise(0.1)), fi.extract(bare, images))
    assert fi.Victim(bare.encoder, defence).feature_shape == bare.feature_shape
    other = fi.encoders.wrap(
        nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 48)),
        name="other",
        family="averages",
        trained_on="nothing",
        input_size=32,
    )
    with pytest.raises(BadInput, match=r"PCA.*expected a defence fitted on features of other"):
        fi.Victim(other, defence)
    with pytest.raises(BadInput, match=r"expected public features as the encoder makes them, got ones defended by"):
        defences.PCA(2).fit(fi.extract(fi.Victim(bare.encoder, GaussianNoise(1)), images))


REFUSED = [
    (lambda: defences.Codebook(-1), r"bits: expected a whole number from 0 to 16, or None"),
    (lambda: defences.Uniform(0), r"bits: expected a whole number from 1 to 16"),
    (lambda: defences.Uniform(4, per="row"), r"per: expected 'number'"),
    (lambda: defences.Clip(-1), r"norm: expected a finite number above 0"),
    (lambda: defences.Clip(math.nan), r"norm: expected a finite number above 0"),
    (lambda: defences.Laplace(math.inf), r"scale: expected a finite number of at least 0"),
    (lambda: defences.ShapedNoise(1, 2), r"exponent: expected a number from 0"),
    (lambda: defences.TopK(True), r"k: expected a whole number from 1 on"),
    (lambda: defences.Microaggregate(0), r"k: expected a whole number from 1 on"),
    (lambda: defences.ProductCodes(0, 2), r"parts: expected a whole number"),
    (lambda: defences.RandomRotation(True), r"key: expected a whole number or a string"),
    (lambda: defences.Codebook(10).fit(PUBLIC), r"1024 codes: expected at least 1024 public vectors, got 600"),
    (lambda: defences.Codebook(2).fit(PUBLIC[:1].expand(50, 12)), r"4 codes: expected as many different"),
    (lambda: defences.PCA(13).fit(PUBLIC), r"PCA: expected at most 12 components"),
    (lambda: defences.PCA(9).fit(PUBLIC[:5]), r"PCA\(k=9\): expected at least 9 public vectors, got 5"),
    (lambda: defences.ProductCodes(13, 1).fit(PUBLIC), r"expected at most 12 parts"),
    (lambda: defences.RemoveSubspace().fit(PUBLIC), r"expected labels of 'label', got none"),
    (lambda: defences.RemoveSubspace().fit(PUBLIC, np.zeros(600)), r"at least two classes of 'label', got 1"),
    (lambda: defences.RemoveSubspace().fit(PUBLIC, np.zeros(3)), r"one label for each of 600"),
    (lambda: defences.Sign().fit(PUBLIC * math.nan), r"Sign: expected finite public features, got NaN .* row 0"),
    (lambda: defences.Sign().fit("file.npy"), r"expected public features \(Pairs, Vectors, array or tensor\), got str"),
    (lambda: defences.Sign()(PUBLIC), r"Sign: expected a fitted defence"),
    (lambda: fitted(defences.Sign())(PUBLIC[:, :5]), r"features of shape \(N, 12\), .* got \(N, 5\)"),
]


@pytest.mark.parametrize(("use", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_bad_input_is_one_line(use, message) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)
