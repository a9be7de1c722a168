"""Attackers who know the defence: retrained, denoising, and averaging several releases."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import featinv as fi
from featinv.testing import synthetic_images, synthetic_pairs
from featinv.victim import MeanOfReleases, average_releases


def images(count: int, seed: int) -> fi.data.ImageSet:
    pixels = (
        synthetic_images(count, size=16, seed=seed).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    )
    return fi.data.ImageSet(pixels, ids=[f"{seed}-{row}" for row in range(count)])


def victim(defence: nn.Module | None = None) -> fi.Victim:
    mixing = torch.randn(48, 12, generator=torch.Generator().manual_seed(0)) / 7

    def encode(batch: Any) -> Any:
        return nn.functional.adaptive_avg_pool2d(batch, 4).flatten(1) @ mixing

    return fi.Victim(fi.encoders.wrap(encode, name="linear", family="linear", input_size=16), defence)


class Doubled(nn.Module):
    """A deterministic defence that a fresh attacker must learn to undo."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return 2 * features + 1


def test_extracting_from_a_defended_victim_retrains_the_attack_on_defended_vectors() -> None:
    public, private = images(60, 0), images(20, 1)
    clean, defended = fi.extract(victim(), public), fi.extract(victim(Doubled()), public)
    rows = np.arange(60)
    np.testing.assert_allclose(defended.features(rows), 2 * clean.features(rows) + 1, rtol=1e-5)
    # So an attack that is fitted on them undoes the defence; the undefended one is led astray, and is refused.
    released, bare = fi.release(victim(Doubled()), private), fi.release(victim(), private)
    fresh, stale = fi.attacks.Ridge(0.1).fit(defended), fi.attacks.Ridge(0.1).fit(clean)
    expected = stale.reconstruct(torch.from_numpy(bare.features))
    made = fresh.reconstruct(torch.from_numpy(released.features))
    torch.testing.assert_close(made, expected, atol=1e-3, rtol=0)
    assert float((stale.reconstruct(torch.from_numpy(released.features)) - expected).abs().mean()) > 0.02
    with pytest.raises(fi.BadInput, match=r"defence of"):
        fi.victim.features_must_match(stale.victim, released.metadata)
    fi.victim.features_must_match(fresh.victim, released.metadata)


def test_public_pairs_of_a_noisy_victim_have_fresh_noise_of_its_strength() -> None:
    public = images(200, 0)
    noisy = fi.extract(victim(fi.defences.GaussianNoise(0.5)), public).features(np.arange(200))
    clean = fi.extract(victim(), public).features(np.arange(200))
    assert (noisy - clean).std() == pytest.approx(0.5, rel=0.05)
    released = fi.release(victim(fi.defences.GaussianNoise(0.5)), public).features - clean
    assert abs(np.corrcoef(released.ravel(), (noisy - clean).ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("count", [1, 4, 25])
def test_the_mean_of_several_releases_has_less_noise_by_the_root_of_their_number(count: int) -> None:
    private = images(150, 1)
    defended, clean = victim(fi.defences.GaussianNoise(0.6)), fi.release(victim(), private).features
    mean = average_releases([fi.release(defended, private, seed=seed) for seed in range(count)])
    assert (mean.features - clean).std() == pytest.approx(0.6 / count**0.5, rel=0.06)
    retrained = fi.Victim(defended.encoder, MeanOfReleases(fi.defences.GaussianNoise(0.6), count))
    pairs = fi.extract(retrained, private)
    assert (pairs.features(np.arange(150)) - clean).std() == pytest.approx(0.6 / count**0.5, rel=0.06)
    if count > 1:
        # An attack that was retrained on averaged public vectors fits the averaged release, and no other one does.
        fi.victim.features_must_match(pairs.metadata, mean.metadata)
        with pytest.raises(fi.BadInput, match=r"defence of"):
            fi.victim.features_must_match(fi.extract(defended, private).metadata, mean.metadata)


def test_the_mean_of_a_deterministic_defence_is_the_defence() -> None:
    features = torch.randn(5, 4)
    coarse = fi.defences.Uniform(2).fit(torch.randn(50, 4))
    assert torch.equal(MeanOfReleases(coarse, 3)(features), coarse(features))
    assert MeanOfReleases(coarse, 3).deterministic
    assert not MeanOfReleases(fi.defences.GaussianNoise(1), 3).deterministic
    assert not MeanOfReleases(Doubled(), 3).deterministic


def test_averaging_refuses_what_is_no_second_draw_of_the_same_images() -> None:
    private, defended = images(20, 1), victim(fi.defences.GaussianNoise(0.6))
    first = fi.release(defended, private, seed=0)
    with pytest.raises(fi.BadInput, match=r"different seeds, got \[0, 0\]"):
        average_releases([first, first])
    with pytest.raises(fi.BadInput, match=r"private_fingerprint of the first"):
        average_releases([first, fi.release(defended, images(20, 2), seed=1)])
    with pytest.raises(fi.BadInput, match=r"fingerprint of the first"):
        average_releases([first, fi.release(victim(fi.defences.GaussianNoise(0.7)), private, seed=1)])
    with pytest.raises(fi.BadInput, match=r"at least one, got none"):
        average_releases([])
    with pytest.raises(fi.BadInput, match=r"at least 1, got 0"):
        MeanOfReleases(nn.Identity(), 0)
    bare = [fi.Release(first.features + draw, {"name": "files"}) for draw in (0, 1)]
    np.testing.assert_allclose(average_releases(bare).features, first.features + 0.5, rtol=1e-5)
    assert average_releases(bare).metadata["name"] == "mean of 2 releases of files"


def noisy_sides(std: float, count: int = 600) -> tuple[Any, Any]:
    """Return clean public pairs, and the same with noise on the vectors."""
    clean = synthetic_pairs(count, size=8)
    vectors = clean.features(np.arange(count))
    noise = np.random.default_rng(5).standard_normal(vectors.shape)
    return clean, fi.Pairs((vectors + std * noise).astype(np.float32), clean.images)


def test_the_linear_posterior_mean_is_wieners_filter() -> None:
    clean, defended = noisy_sides(0.5, 4000)
    attack = fi.attacks.Denoised(fi.attacks.Ridge().fit(clean), clean).fit(defended)
    assert attack.chosen == "linear"
    vectors = clean.features(np.arange(4000)).astype(np.float64)
    mean, covariance = vectors.mean(axis=0), np.cov(vectors.T)
    noisy = defended.features(np.arange(50)).astype(np.float64)
    expected = mean + (noisy - mean) @ np.linalg.solve(covariance + 0.25 * np.eye(16), covariance)
    got = attack.denoise(torch.from_numpy(noisy.astype(np.float32))).numpy()
    assert np.sqrt(np.square(got - expected).mean()) < 0.1 * np.sqrt(np.square(expected - mean).mean())


def test_the_empirical_posterior_mean_weighs_public_vectors_by_their_likelihood() -> None:
    # Four clean vectors only: the posterior mean by hand, over a discrete prior.
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0]])
    pixels = np.zeros((400, 8, 8, 3), dtype=np.uint8)
    images_ = fi.data.ImageSet(pixels, ids=[str(row) for row in range(400)])
    vectors = points[np.arange(400) % 4].astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(vectors.shape).astype(np.float32)
    clean, defended = fi.Pairs(vectors, images_), fi.Pairs(vectors + noise, images_)
    attack = fi.attacks.Denoised(fi.attacks.Ridge().fit(clean), clean).fit(defended)
    assert attack.chosen == "empirical"
    asked = np.array([[1.0, 0.5], [1.5, 1.5]])
    weights = np.exp(-0.5 * np.square(asked[:, None] - points).sum(axis=2) / noise.var())
    expected = weights @ points / weights.sum(axis=1, keepdims=True)
    got = attack.denoise(torch.from_numpy(asked.astype(np.float32))).numpy()
    np.testing.assert_allclose(got, expected, atol=0.1)


def test_denoising_first_beats_feeding_noise_to_the_undefended_attack() -> None:
    clean, defended = noisy_sides(0.6, 1000)
    inner = fi.attacks.Ridge().fit(clean)
    attack = fi.attacks.Denoised(inner, clean).fit(defended)
    features, truth = defended.batch(np.arange(200))
    errors = [float((one.reconstruct(features) - truth).square().mean()) for one in (attack, inner)]
    assert errors[0] < errors[1]


def test_bad_input_of_denoising_is_one_line() -> None:
    clean, defended = noisy_sides(0.5, 60)
    inner = fi.attacks.Ridge().fit(clean)
    with pytest.raises(fi.BadInput, match=r"before fit\(pairs\); fit it on the clean pairs first"):
        fi.attacks.Denoised(fi.attacks.Ridge(), clean)
    with pytest.raises(fi.BadInput, match=r"expected the 60 images of the clean pairs"):
        fi.attacks.Denoised(inner, clean).fit(defended.take(np.arange(30)))
    with pytest.raises(fi.BadInput, match=r"before fit\(pairs\)"):
        fi.attacks.Denoised(inner, clean).denoise(torch.zeros(2, 16))
