"""The calibration of a sampler of p(image | vector), scale by scale: which of its details may be believed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featinv.attacks import sample_blocks
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.calibration_inputs import LEAST_IMAGES, LEAST_RANKED, check_k, check_spread
from featinv.evaluation.calibration_spaces import Space, public_images, spaces
from featinv.evaluation.calibration_tests import (
    Coverage,
    RankHistograms,
    TwoSample,
    coverage,
    rank_histograms,
    two_sample,
)
from featinv.evaluation.frequency_bands import band_names, band_squares
from featinv.evaluation.intervals import cluster_ids
from featinv.evaluation.mean_square_law import MeanSquareLaw, law_of, mean_square_law
from featinv.evaluation.significance import holm
from featinv.types import Images, SamplesLike
from featinv.victim import Release

ALPHA = 0.05
NEAR = (0.8, 1.25)
"""bounds of the mean-square ratio's interval within which samples that no test refutes count as calibrated"""
_REFERENCES, _PERSONS = 12, 14


@dataclass(frozen=True)
class ScaleTests:
    """All tests in one space of D numbers; what each says is in its own class."""

    law: MeanSquareLaw
    ranks: RankHistograms
    coverage: Coverage
    two_sample: TwoSample

    @property
    def p(self) -> dict[str, float]:
        """The p-value of each test; that of the ranks is corrected over the projections."""
        return {
            "mean-square law": self.law.p,
            "ranks": float(self.ranks.adjusted.min()),
            "coverage": self.coverage.p,
            "two-sample": self.two_sample.p,
        }


@dataclass(frozen=True)
class Calibration:
    """How N images and K samples of each speak about a sampler, in spaces and by octave of frequency.

    `adjusted` has the p-value of every test after Holm's correction over all of them, by (scale, test).
    """

    spaces: dict[str, ScaleTests]
    bands: dict[str, MeanSquareLaw]
    images: int
    k: int
    seed: int

    @property
    def adjusted(self) -> dict[tuple[str, str], float]:
        """Return p-values such that one below .05 comes by chance once in 20 pages."""
        p = {(scale, name): value for scale, tests in self.spaces.items() for name, value in tests.p.items()}
        p |= {(f"frequencies {band}", "mean-square law"): law.p for band, law in self.bands.items()}
        return holm(p)

    @property
    def verdicts(self) -> dict[str, str]:
        """Return for every scale "calibrated", "over-confident", "too wide", "wrong in shape" or "undecided".

        Calibrated is what no test refutes and whose mean-square ratio is known to be near 1: where too few images leave
        it open, the scale is undecided, never calibrated.
        """
        adjusted = self.adjusted
        laws = {name: tests.law for name, tests in self.spaces.items()}
        laws |= {f"frequencies {band}": law for band, law in self.bands.items()}
        return {
            scale: verdict(law, min(p for (name, _), p in adjusted.items() if name == scale))
            for scale, law in laws.items()
        }


def verdict(law: MeanSquareLaw, p: float) -> str:
    """Return the word for a scale, from its mean-square law and its smallest corrected p-value."""
    low, high = law.ratio.low, law.ratio.high
    if not p > ALPHA:  # a p-value that is no number refutes as well
        return "over-confident" if high < 1 else "too wide" if low > 1 else "wrong in shape"
    return "calibrated" if NEAR[0] <= low and high <= NEAR[1] else "undecided"


def calibrate(
    attack: Any,
    release: Release,
    public: ImageSet,
    *,
    k: int = 64,
    seed: int = 0,
    surrogate: Callable[[Tensor], Tensor] | None = None,
    clusters: Sequence[object] | None = None,
) -> Calibration:
    """Draw k samples of every vector of a release with a `SamplesLike` attack, and test them against the images.

    `public` gives principal components and reference points; `surrogate` maps images to features and adds their space.
    Samples are drawn and projected in blocks: memory holds a few hundred numbers of each. Every test takes the images
    for independent draws. `clusters` names, for every image, the person or event that it is one of several of: one
    image of each, drawn by the seed, is then tested, so that all intervals and p-values count persons.

    Raises BadInput for fewer than 16 samples or 50 images (or persons), another number of clusters than images, a
    release without images or of another size than the public ones, an attack that cannot sample or whose `guidance` is
    not 1 (guided samples are narrower than the posterior), samples with NaN or out of [0, 1] (naming the image), and
    samples that are all alike.
    """
    if clusters is not None:
        release = one_of_each(release, clusters, seed)
    truth = _check(attack, release, public, k)
    drawn = public_images(public, seed)
    made = spaces(drawn, surrogate, seed)
    truths, samples, spread, error = _project(attack, release, truth, made, k, seed)
    order = np.random.default_rng([seed, _REFERENCES]).integers(0, len(drawn), len(truth))
    references = drawn[torch.from_numpy(order)]
    vectors = release.features.reshape(len(release), -1)
    tests = {
        space.name: ScaleTests(
            mean_square_law(truths[space.name], samples[space.name], seed=seed),
            rank_histograms(truths[space.name], samples[space.name], names=space.names, seed=seed),
            coverage(truths[space.name], samples[space.name], space.project(references), seed=seed),
            two_sample(truths[space.name], samples[space.name], vectors, seed=seed),
        )
        for space in made
    }
    bands = {
        name: law_of(spread[:, band], error[:, band], k, seed=seed) for band, name in enumerate(band_names(truth.size))
    }
    return Calibration(tests, bands, len(truth), k, seed)


def one_of_each(release: Release, clusters: Sequence[object], seed: int) -> Release:
    """Return a release with one image of each cluster, drawn by the seed, in the order of the release.

    Raises BadInput for another number of clusters than images.
    """
    member = cluster_ids(clusters, len(release))
    order = np.random.default_rng([seed, _PERSONS]).permutation(len(member))
    rows = np.sort(order[np.unique(member[order], return_index=True)[1]])
    truth = None if release.truth is None else release.truth.take(rows)
    return Release(release.features[rows], release.metadata, truth)


def _check(attack: Any, release: Release, public: ImageSet, k: int) -> ImageSet:
    name = type(attack).__name__
    if not isinstance(attack, SamplesLike):
        raise BadInput(f"{name}: expected an attack with sample(features, k, seed), got one without; it cannot draw")
    guidance = getattr(attack, "guidance", 1)
    if guidance != 1:
        raise BadInput(
            f"{name}: expected guidance 1 in a calibration, got {guidance}; guided samples are narrower than the "
            "posterior, set guidance=1"
        )
    check_k(k, LEAST_RANKED, "a calibration")
    if release.truth is None:
        raise BadInput("release: a calibration needs the private images, but this release has none")
    if len(release) < LEAST_IMAGES:
        raise BadInput(f"release: expected at least {LEAST_IMAGES} images, got {len(release)}; release more")
    if public.size != release.truth.size or len(public) < LEAST_IMAGES:
        raise BadInput(
            f"public: expected at least {LEAST_IMAGES} images of {release.truth.size} px, as the private ones, got "
            f"{len(public)} of {public.size}; give the images of the pairs"
        )
    return release.truth


def _project(
    attack: SamplesLike, release: Release, truth: ImageSet, made: list[Space], k: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return truths and samples in every space, and slope and intercept of each image's law by octave."""
    truths: dict[str, list[np.ndarray]] = {space.name: [] for space in made}
    samples: dict[str, list[np.ndarray]] = {space.name: [] for space in made}
    spread: list[np.ndarray] = []
    error: list[np.ndarray] = []
    alike = True
    for images, drawn in _blocks(attack, release, truth, k, seed):
        alike = alike and bool((drawn == drawn[:, :1]).all())
        for space in made:
            truths[space.name].append(space.project(images))
            samples[space.name].append(space.project(drawn.flatten(0, 1)).reshape(len(drawn), k, -1))
        mean = drawn.mean(1)
        centred = (drawn - mean[:, None]).flatten(0, 1).numpy()
        variance = band_squares(centred).sum(axis=2).reshape(len(drawn), k, -1).sum(axis=1) / (k - 1)
        spread.append(variance)
        error.append(band_squares((mean - images).numpy()).sum(axis=2) - variance / k)
    if alike:
        check_spread(np.zeros((1, k, 1)), type(attack).__name__)
    return (
        {name: np.concatenate(rows) for name, rows in truths.items()},
        {name: np.concatenate(rows) for name, rows in samples.items()},
        np.concatenate(spread),
        np.concatenate(error),
    )


def _blocks(
    attack: SamplesLike, release: Release, truth: ImageSet, k: int, seed: int
) -> Iterator[tuple[Images, Tensor]]:
    shape = (k, 3, truth.size, truth.size)
    name = type(attack).__name__
    for start, drawn in sample_blocks(attack, torch.from_numpy(release.features), k, seed):
        if tuple(drawn.shape[1:]) != shape:
            raise BadInput(f"{name}.sample: expected samples of shape {shape} an image, got {tuple(drawn.shape[1:])}")
        drawn = drawn.float().cpu()
        good = ((drawn >= 0) & (drawn <= 1)).flatten(1).all(1)
        if not bool(good.all()):
            row = start + int((~good).nonzero()[0])
            raise BadInput(f"{name}.sample: expected numbers in [0, 1], got NaN or others for image {row}; correct it")
        yield truth.batch(np.arange(start, start + len(drawn))), drawn
