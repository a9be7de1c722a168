"""Alignment without a single known pair: two clouds of vectors are laid over each other by their shapes."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import quadratic_assignment

from featinv.attacks.alignment import Alignment, Rows, check_spaces
from featinv.errors import BadInput

CLUSTERS = (8, 10, 14, 20)
"""numbers of k-means clusters that are tried"""
RESTARTS = 20
"""random starts of each quadratic assignment"""
REFINED = 4
"""best starts that are refined"""
LEAST_VECTORS = 64
MOST_VECTORS = 10_000
"""vectors of a side that are looked at, drawn by seed where there are more"""
MOST_DIRECTIONS = 256
STAGES = (9, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""leading principal directions in which neighbours are looked for, one stage after another"""
NEIGHBOURS = (6, 6, 3, 3, 1, 1, 1)
"""how many neighbours are averaged in each round of a stage"""
SIDES = (500, 2000)
"""released and own vectors drawn for each round"""
RANDOM_STARTS = 3
"""random rotations that are refined in the same way, to know which fit means nothing"""
LEAST_MARGIN = 0.03
"""by how much the fit must exceed that of the best random start (measured: right 0.06 to 0.14, wrong below 0.02)"""
LEAST_FIT = 0.9
"""fit below which no alignment is believed (measured: right 0.91 to 0.99, wrong up to 0.86)"""


@dataclass(frozen=True)
class _Clouds:
    """Both spaces in their principal coordinates, (N, q) and (M, q), most variance first, and the way back."""

    released: np.ndarray
    own: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class _Start:
    """A first rotation, what it comes from, and how well it fits."""

    rotation: np.ndarray
    method: str
    fit: float


def align_unpaired(
    released: Rows, own: Rows, *, runs: int = 2, enough: int | float = math.inf, seed: int = 0
) -> Alignment:
    """Align the released vectors (N, D) with own vectors of other images (M, E), knowing no pair.

    k-means in both spaces, quadratic assignment of the centroids' inner products or cosines (FAQ, Vogelstein et al.
    2015, and 2-opt), Procrustes on the centroids, then rounds of nearest neighbours and Procrustes in growing principal
    subspaces (compare mini-vec2vec, arXiv:2510.02348). Each of `runs` draws starts from 8, 10, 14 and 20 clusters; the
    starts of the best fit are refined, up to the first of fit `enough`, and the best is kept. The fit is the
    nearest-neighbour distance of held-out own vectors divided by that of the mapped ones: nothing is chosen by truth.
    Noise is taken off by the ratio of the two spectra before. `identified` needs a fit of 0.9 that exceeds those of
    three refined random rotations by 0.03. Own images must cover the classes of the private ones. Raises BadInput for
    NaN and fewer than 64 vectors a side.
    """
    check_spaces(released, own)
    for name, rows in (("released", released), ("own", own)):
        if len(rows) < LEAST_VECTORS:
            raise BadInput(
                f"{name}: alignment without pairs needs at least {LEAST_VECTORS} vectors, got {len(rows)}; "
                "give more, or known pairs"
            )
    if runs < 1:
        raise BadInput(f"runs: expected at least 1, got {runs}")
    generator = np.random.default_rng([seed, 26])
    released, own = (rows[generator.permutation(len(rows))[:MOST_VECTORS]] for rows in (released, own))
    clouds = _principal(released, own)
    counts = _cluster_counts(clouds)
    starts = [start for run in range(runs) for count in counts for start in _starts(clouds, count, [seed, run, count])]
    starts.sort(key=lambda start: -start.fit)
    refined: list[tuple[np.ndarray, float, _Start]] = []
    for number, first in enumerate(starts[:REFINED]):
        refined.append((*_refine(clouds, first, [seed, number]), first))
        if refined[-1][1] >= enough:
            break
    rotation, fit, start = max(refined, key=lambda refinement: refinement[1])
    chance = max(_refine(clouds, turn, [seed, 9, number])[1] for number, turn in enumerate(_random(clouds, seed)))
    return Alignment(
        weight=clouds.forward @ rotation @ clouds.backward.T,
        source=clouds.source,
        target=clouds.target,
        basis=clouds.backward,
        method=start.method,
        pairs=0,
        fit=fit,
        identified=bool(fit >= max(LEAST_FIT, chance + LEAST_MARGIN)),
    )


def nearest_fit(mapped: Rows, own: Rows, seed: int = 0) -> float:
    """Return how near mapped vectors lie to own ones, as held-out own vectors do: 1 for the same distribution.

    The root mean square of the nearest-neighbour distances of up to 500 own vectors divided by that of the mapped ones.
    """
    order = np.random.default_rng([seed, 22]).permutation(len(own))
    asked = min(500, len(own) // 3)
    held, bank = own[order[:asked]], own[order[asked : asked + 4000]]
    expected, got = (float(_distances(rows, bank).min(axis=1).mean()) for rows in (held, mapped[:1000]))
    return float(np.sqrt(max(expected, 0.0) / max(got, 1e-30)))


def _principal(released: np.ndarray, own: np.ndarray) -> _Clouds:
    (source, values, forward), (target, own_values, backward) = _spectrum(released), _spectrum(own)
    width = int(min(len(values), len(own_values), MOST_DIRECTIONS))
    values, own_values, forward, backward = values[:width], own_values[:width], forward[:, :width], backward[:, :width]
    leading = min(8, width)
    scale = float(np.sqrt(values[:leading].sum() / own_values[:leading].sum()))
    # What a direction has more than its sampling error explains is noise (Wiener's filter).
    slack = 1 + 3 * np.sqrt(2 / len(released))
    shrink = np.minimum(1, slack * own_values / np.maximum(values / scale**2, 1e-300))
    forward = forward * (shrink / scale)
    return _Clouds(
        ((released - source) @ forward).astype(np.float32),
        ((own - target) @ backward).astype(np.float32),
        forward,
        backward,
        source,
        target,
    )


def _spectrum(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the variances along the principal directions, largest first, and the directions (columns)."""
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = (rows - mean).astype(np.float32)
    flat = len(rows) < rows.shape[1]  # the smaller of the two Gram matrices
    gram = centred @ centred.T if flat else centred.T @ centred
    values, vectors = np.linalg.eigh(gram.astype(np.float64) / len(rows))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > 1e-6 * max(float(values[0]), 1e-300)
    if float(values[0]) <= 1e-12 * float(np.square(mean).sum()) or not kept.any():
        raise BadInput("alignment: expected vectors that differ, got the same one in every row")
    values, vectors = values[kept], vectors[:, kept]
    if flat:
        vectors = centred.T.astype(np.float64) @ vectors / np.sqrt(values * len(rows))
    return mean, values, vectors


def _cluster_counts(clouds: _Clouds) -> list[int]:
    most = min(len(clouds.released), len(clouds.own)) // 8
    return [count for count in CLUSTERS if count <= most]


def _starts(clouds: _Clouds, count: int, key: list[int]) -> list[_Start]:
    generator = np.random.default_rng([*key, 23])
    first, second = (_centroids(rows, count, generator) for rows in (clouds.released, clouds.own))
    starts = []
    # A rotation keeps inner products; another encoder of the same images keeps angles better.
    for word, products in (("products", lambda rows: rows @ rows.T), ("cosines", _cosines)):
        order = _assign(products(first), products(second), generator)
        rotation = _orthogonal(first.T @ second[order])
        starts.append(_Start(rotation, f"{count} clusters by {word}", _fit_of(clouds, rotation)))
    return starts


def _random(clouds: _Clouds, seed: int) -> list[_Start]:
    generator = np.random.default_rng([seed, 24])
    width = clouds.own.shape[1]
    turns = [_orthogonal(generator.standard_normal((width, width))) for _ in range(RANDOM_STARTS)]
    return [_Start(turn, "random", _fit_of(clouds, turn)) for turn in turns]


def _fit_of(clouds: _Clouds, rotation: np.ndarray) -> float:
    return nearest_fit(clouds.released @ rotation.astype(np.float32), clouds.own)


def _centroids(rows: np.ndarray, count: int, generator: np.random.Generator) -> Float[np.ndarray, "K q"]:
    from sklearn.cluster import KMeans  # imported here: it takes a second

    drawn = rows[generator.permutation(len(rows))[:4000]]
    clusters = KMeans(count, n_init=5, random_state=int(generator.integers(2**31))).fit(drawn)
    return np.asarray(clusters.cluster_centers_, dtype=np.float64)


def _assign(first: np.ndarray, second: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return which centroid of the second space belongs to each of the first: the best of 20 FAQ runs, then 2-opt."""
    options: dict[str, object] = {"maximize": True, "rng": generator}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where all cosines are equal FAQ divides by zero
        runs = [
            quadratic_assignment(first, second, method="faq", options=options | {"P0": "randomized"})
            for _ in range(RESTARTS)
        ]
        best = max(runs, key=lambda run: float(run.fun)).col_ind
        guess = np.stack([np.arange(len(best)), best], axis=1)
        better = quadratic_assignment(first, second, method="2opt", options=options | {"partial_guess": guess})
    return np.asarray(better.col_ind)


def _refine(clouds: _Clouds, start: _Start, key: list[int]) -> tuple[np.ndarray, float]:
    """Turn the rotation by Procrustes on mutual nearest neighbours, in more and more directions; keep the best fit."""
    generator = np.random.default_rng([*key, 25])
    rotation, best = start.rotation, (start.rotation, start.fit)
    width = clouds.own.shape[1]
    for directions in [stage for stage in STAGES if stage < width] + [width]:
        for neighbours in NEIGHBOURS:
            rotation = _turn(clouds, rotation, directions, neighbours, generator)
        fit = _fit_of(clouds, rotation)
        if fit > best[1]:
            best = rotation, fit
    return best


def _turn(
    clouds: _Clouds, rotation: np.ndarray, directions: int, neighbours: int, generator: np.random.Generator
) -> np.ndarray:
    drawn = generator.permutation(len(clouds.released))[: SIDES[0]]
    own = clouds.own[generator.permutation(len(clouds.own))[: SIDES[1]], :directions]
    mapped = (clouds.released[drawn] @ rotation.astype(np.float32))[:, :directions]
    distances = _distances(mapped, own)
    most = min(neighbours, min(distances.shape) - 1)
    partner = own[_nearest(distances, most)].mean(axis=1)
    back = mapped[_nearest(np.ascontiguousarray(distances.T), most)].mean(axis=1)
    turn = np.eye(len(rotation))
    turn[:directions, :directions] = _orthogonal(mapped.T @ partner + back.T @ own)
    return rotation @ turn


def _nearest(distances: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the `count` least distances of every row, in any order."""
    return distances.argmin(axis=1)[:, None] if count == 1 else np.argpartition(distances, count, axis=1)[:, :count]


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    u, _, vt = np.linalg.svd(matrix.astype(np.float64))
    return np.asarray(u @ vt)


def _cosines(rows: np.ndarray) -> np.ndarray:
    directions = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(directions @ directions.T)


def _distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * rows @ others.T, 0))
