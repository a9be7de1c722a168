"""The ceiling of re-identification against closed forms, counting, and attacks that must not pass it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from featinv import defences
from featinv.errors import BadInput
from featinv.evaluation import reidentification_ceiling, wilson
from featinv.evaluation.ceiling_bounds import code_bound, gaussian_dp_bound, group_bound
from featinv.evaluation.ceiling_text import UNKNOWN, check_ceiling
from featinv.evaluation.reidentification import gallery_blocks

DRAW = np.random.default_rng(0)
CLEAN = torch.from_numpy((DRAW.normal(size=(300, 12)) * np.linspace(2, 0.3, 12)).astype(np.float32))
PUBLIC = torch.from_numpy((DRAW.normal(size=(900, 12)) * np.linspace(2, 0.3, 12)).astype(np.float32))


class EvenNoise(nn.Module):
    """Gaussian noise whose first number has evenly spread quantiles, over even rows and over odd rows.

    Drawn independently, a rate would need 2 million draws to be known to 1e-3.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.noise = defences.GaussianNoise(std)

    def forward(self, features: Tensor) -> Tensor:
        made = self.noise(features)
        for start in (0, 1):
            rows = features[start::2]
            spread = (torch.randperm(len(rows)) + torch.rand(())).double() / len(rows)
            quantiles = stats.norm.ppf(spread.clamp(1e-9, 1 - 1e-9).numpy())
            made[start::2, 0] = rows[:, 0] + self.noise.std * torch.from_numpy(quantiles).float()
        return made

    def log_likelihood(self, released: Tensor, clean: Tensor) -> Tensor:
        return self.noise.log_likelihood(released, clean)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_of_two_candidates_the_right_one_is_likelier_with_phi_of_half_their_distance(distance: float) -> None:
    std = 0.8
    # 400 pairs so far apart that only the partner can be taken for the truth.
    pairs = torch.zeros(800, 3)
    pairs[:, 1] = torch.arange(800) // 2 * 100.0
    pairs[1::2, 0] = distance
    ceiling = reidentification_ceiling(EvenNoise(std), pairs, top=(1, 2))
    expected = stats.norm.cdf(distance / (2 * std))
    assert ceiling.intervals[1, 800].mean == pytest.approx(expected, abs=1e-3)
    assert ceiling.intervals[2, 800].mean == 1
    assert ceiling.draws == 20


def test_codes_are_counted() -> None:
    defence = defences.Codebook(3).fit(PUBLIC)
    ceiling = reidentification_ceiling(defence, CLEAN, top=(1, 10))
    sizes = np.bincount(defence.codes(CLEAN).numpy())
    for k in (1, 10):  # of s images with one code, a list of k names min(k, s)
        assert ceiling.intervals[k, 300].mean == pytest.approx(np.minimum(k, sizes).sum() / 300, abs=1e-12)
    assert ceiling.intervals[1, 300].mean == pytest.approx(np.count_nonzero(sizes) / 300)
    assert ceiling.upper(1, 300) == 8 / 300
    assert ceiling.exact
    assert ceiling.draws == 1


@pytest.mark.parametrize("k", [2, 5, 50])
def test_groups_of_k_leave_one_in_k(k: int) -> None:
    ceiling = reidentification_ceiling(defences.Microaggregate(k), CLEAN, galleries=(300, 100))
    assert ceiling.intervals[1, 300].mean == pytest.approx(1 / k, abs=1e-12)
    assert ceiling.intervals[10, 300].mean == pytest.approx(min(1, 10 / k), abs=1e-12)
    # A smaller gallery rarely holds the whole group.
    assert ceiling.intervals[1, 100].mean > 1 / k
    assert {bound.size for bound in ceiling.bounds if bound.name == "groups"} == {300}


def test_smaller_galleries_are_those_of_the_scoreboard() -> None:
    defence = defences.ProductCodes(2, 2).fit(PUBLIC)
    codes = defence.codes(CLEAN).numpy() @ [4, 1]
    ceiling = reidentification_ceiling(defence, CLEAN, galleries=(70,), top=(1,), seed=3)
    expected = np.zeros(300)
    for block, scored in gallery_blocks(300, 70, 3):
        for image in block[:scored]:
            expected[image] = 1 / (codes[block] == codes[image]).sum()
    np.testing.assert_allclose(ceiling.per_image[1, 70], expected)


def test_without_noise_or_ties_everything_can_be_found_and_duplicates_share() -> None:
    for defence in (nn.Sequential(), defences.PCA(3).fit(PUBLIC), defences.RandomRotation(1).fit(PUBLIC)):
        assert reidentification_ceiling(defence, CLEAN).intervals[1, 300].mean == 1
    doubled = torch.cat([CLEAN[:100], CLEAN[:100]])
    for defence in (defences.Identity(), defences.GaussianNoise(1e-3), defences.Laplace(1e-3)):
        ceiling = reidentification_ceiling(defence, doubled, top=(1,))
        assert ceiling.intervals[1, 200].mean == pytest.approx(0.5, abs=1e-12)


def test_noise_beyond_all_signal_leaves_chance() -> None:
    ceiling = reidentification_ceiling(defences.GaussianNoise(1e4), CLEAN)
    assert ceiling.intervals[10, 300].low < 10 / 300 < ceiling.intervals[10, 300].high
    assert ceiling.intervals[10, 300].chance == pytest.approx(10 / 300)


FORMS = {
    "gauss": lambda: defences.GaussianNoise(1.0),
    "laplace": lambda: defences.Laplace(0.8),
    "shaped": lambda: defences.ShapedNoise(0.8, 1),
    "clipped": lambda: nn.Sequential(defences.Clip(2), defences.GaussianNoise(0.6)),
    "reduced": lambda: nn.Sequential(defences.PCA(3), defences.GaussianNoise(0.7)),
    "rounded": lambda: nn.Sequential(defences.GaussianNoise(1.0), defences.Uniform(2)),
    "codes": lambda: defences.Codebook(4),
    "signs": lambda: nn.Sequential(defences.PCA(4, coordinates=True), defences.Sign()),
    "top": lambda: nn.Sequential(defences.TopK(1), defences.Sign()),
    "groups": lambda: defences.Microaggregate(4),
    "noisy groups": lambda: nn.Sequential(defences.Microaggregate(3), defences.GaussianNoise(0.5)),
}


def attackers(defence: nn.Module, released: Tensor) -> dict[str, np.ndarray]:
    """Scores (released, candidates) of attackers that know the candidates and the defence."""
    again = defence(CLEAN)
    rows, candidates = released.double(), again.double()
    scores = {
        "nearest": -torch.cdist(rows, candidates),
        "city block": -torch.cdist(rows, candidates, p=1),
        "cosine": nn.functional.cosine_similarity(rows[:, None], candidates[None], dim=2),
    }
    if released.shape == CLEAN.shape:
        scores["nearest clean"] = -torch.cdist(rows, CLEAN.double())
        # Denoise by the best linear map learnt from public vectors that went through the defence.
        public = defence(PUBLIC).double()
        weight = torch.linalg.lstsq(public, PUBLIC.double()).solution
        scores["denoised"] = -torch.cdist(rows @ weight, CLEAN.double())
    return {name: score.numpy() for name, score in scores.items()}


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(FORMS)), seed=st.integers(0, 10**6), k=st.sampled_from([1, 10]))
def test_no_attack_exceeds_the_ceiling(name: str, seed: int, k: int) -> None:
    torch.manual_seed(seed)
    defence = defences.fit(FORMS[name](), PUBLIC)
    ceiling = reidentification_ceiling(defence, CLEAN, top=(k,), seed=seed)
    released = defence(CLEAN)
    for attacker, scores in attackers(defence, released).items():
        # Ties are broken at random, and the attack's own luck is in its interval (4 standard errors).
        order = np.argsort(-(scores + 1e-9 * np.random.default_rng(seed).random(scores.shape)), axis=1)
        hits = int((order[:, :k] == np.arange(300)[:, None]).any(axis=1).sum())
        assert wilson(hits, 300, level=0.99994).low <= ceiling.upper(k, 300), attacker


@pytest.mark.parametrize("name", FORMS)
def test_the_ceiling_is_under_every_bound_and_the_limit_is_the_least(name: str) -> None:
    defence = defences.fit(FORMS[name](), PUBLIC)
    ceiling = reidentification_ceiling(defence, CLEAN, galleries=(300, 100))
    for bound in ceiling.bounds:
        assert ceiling.intervals[bound.k, bound.size].mean <= bound.value + 1e-12
        assert ceiling.upper(bound.k, bound.size) <= bound.value
    assert ceiling.exact == (name != "rounded")
    assert all(values.min() >= 0 and values.max() <= 1 for values in ceiling.per_image.values())


def test_bounds_by_hand() -> None:
    assert code_bound(5, 10, 1000) == 0.32
    assert code_bound(20, 10, 1000) == 1
    assert group_bound(5, 1) == 0.2
    assert group_bound(5, 10) == 1
    # By the analytic Gaussian mechanism, epsilon 8 at delta 1e-5 is mu 1.666.
    assert gaussian_dp_bound(1.666, 1 / 1000) == pytest.approx(stats.norm.sf(stats.norm.isf(1e-3) - 1.666))
    assert gaussian_dp_bound(0, 0.01) == pytest.approx(0.01)
    private = nn.Sequential(defences.Clip(1), defences.GaussianNoise(4), nn.ReLU())
    ceiling = reidentification_ceiling(private, CLEAN, top=(1,))
    (bound,) = ceiling.bounds
    assert bound.worst_case
    assert bound.value == pytest.approx(stats.norm.cdf(stats.norm.ppf(1 / 300) + 0.5))
    assert ceiling.upper(1, 300) == bound.value


class Unknown(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features + torch.rand_like(features)


@pytest.mark.parametrize("defence", [Unknown(), nn.Sequential(defences.Clip(1), Unknown())], ids=["alone", "behind"])
def test_without_a_likelihood_no_ceiling_is_known(defence: nn.Module) -> None:
    ceiling = reidentification_ceiling(defence, CLEAN)
    assert not ceiling.known
    assert str(ceiling) == UNKNOWN == "no ceiling known"
    assert ceiling.upper(1, 300) is None
    assert ceiling.as_json()["rates"] == []


def test_what_follows_the_noise_can_only_lower_the_ceiling() -> None:
    plain = reidentification_ceiling(defences.GaussianNoise(1), CLEAN)
    chain = reidentification_ceiling(nn.Sequential(defences.GaussianNoise(1), Unknown()), CLEAN)
    assert chain.intervals == plain.intervals
    assert not chain.exact
    assert chain.of == "GaussianNoise(std=1.0)"


class Claims(nn.Module):
    """Noise of deviation 1 with a likelihood that somebody claims."""

    def __init__(self, claim) -> None:
        super().__init__()
        self.claim = claim

    def forward(self, features: Tensor) -> Tensor:
        return features + torch.randn_like(features)

    def log_likelihood(self, released: Tensor, clean: Tensor) -> Tensor:
        return self.claim(released, clean)


def squares(released: Tensor, clean: Tensor) -> Tensor:
    return torch.cdist(released.double(), clean.double()).square()


WRONG = {
    "constant": (lambda r, c: torch.zeros(len(r), len(c)), "expected to rank the true vector above chance"),
    "upside down": (lambda r, c: squares(r, c), "expected to rank the true vector above chance"),
    "one number only": (lambda r, c: -0.5 * squares(r[:, :1], c[:, :1]), "no worse than the nearest vector"),
    "too sure": (lambda r, c: -5 * squares(r, c), "the posterior gives the true vector"),
    "transposed": (lambda r, c: -0.5 * squares(c, r)[:1], r"expected \(released, candidates\) \(300, 300\)"),
    "not a number": (lambda r, c: -0.5 * squares(r, c) * math.nan, "got NaN or infinity"),
    "impossible": (lambda r, c: torch.full((len(r), len(c)), -math.inf), "got NaN or infinity"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_likelihood_that_is_none_is_refused(name: str) -> None:
    claim, message = WRONG[name]
    with pytest.raises(BadInput, match=message) as caught:
        reidentification_ceiling(Claims(claim), CLEAN)
    assert "\n" not in str(caught.value)


def test_a_true_likelihood_of_ones_own_is_taken() -> None:
    ours = reidentification_ceiling(defences.GaussianNoise(1), CLEAN, seed=2)
    theirs = reidentification_ceiling(Claims(lambda r, c: -0.5 * squares(r, c)), CLEAN, seed=2)
    assert theirs.intervals[1, 300].mean == pytest.approx(ours.intervals[1, 300].mean, abs=1e-9)


def test_images_of_one_person_count_once() -> None:
    alone = reidentification_ceiling(defences.GaussianNoise(1), CLEAN, top=(1,))
    people = reidentification_ceiling(defences.GaussianNoise(1), CLEAN, top=(1,), clusters=np.arange(300) // 10)
    assert people.upper(1, 300) > alone.upper(1, 300)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"galleries": (301,)}, "gallery of 301 asked for, 300"),
        ({"draws": 5}, "draws: expected at least 20"),
        ({"seed": -1}, "ceiling: seed"),
    ],
)
def test_bad_input_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        reidentification_ceiling(defences.GaussianNoise(1), CLEAN, **arguments)
    broken = CLEAN.clone()
    broken[3, 2] = math.nan
    with pytest.raises(BadInput, match="finite vectors"):
        reidentification_ceiling(defences.GaussianNoise(1), broken)


def test_a_ceiling_that_was_read_has_its_shape() -> None:
    written = reidentification_ceiling(defences.Codebook(2).fit(PUBLIC), CLEAN).as_json()
    check_ceiling(written)
    check_ceiling(None)
    for broken in ({}, {**written, "rates": [{"k": 1, "size": 10, "high": 1.5}]}, {**written, "bounds": [{"k": 1}]}):
        with pytest.raises((KeyError, ValueError)):
            check_ceiling(broken)
