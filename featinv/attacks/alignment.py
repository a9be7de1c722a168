"""Maps from released vectors to the attacker's own feature space, learnt from known pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from featinv.errors import BadInput

Rows = Float[np.ndarray, "_ _"]
"""N vectors of D numbers, one a row"""
PENALTIES = (1e-8, 1e-4, 0.01, 0.1, 0.3, 1.0)
"""ridge penalties that are tried, as shares of the pairs' mean eigenvalue: nearly none for an exact linear map"""
MOST_LEFT_OUT = 32
"""known pairs that are left out one at a time, drawn by seed where there are more"""
BANK_ROWS = 1000
"""own vectors of other images among which the own vector of a pair that was left out is ranked"""
COVARIANCE_ROWS = 10_000
"""own vectors whose covariance is taken for that of all"""
RANK_TOLERANCE = 1e-7
"""singular values below this share of the largest one determine no direction (float32's rounding)"""


@final
@dataclass(frozen=True, eq=False)
class Alignment:
    """released (B, D) -> the attacker's own space (B, E): (released - source) @ weight + target, in float64.

    `basis` (E, r) spans the directions of the own space that the alignment determines; fewer pairs than dimensions
    leave the others open, and `weight` fills them with their expectation given the determined ones. `method` names
    what was chosen, `pairs` counts the known pairs behind it. `fit`, at best 1, is the attacker's own measure of
    success: with known pairs one over the geometric mean rank of a pair that was left out, without pairs
    `unpaired_alignment.nearest_fit`. `identified` says whether the attacker may believe in the alignment. Nothing here
    is measured against the truth.
    """

    weight: Float[np.ndarray, "D E"]
    source: Float[np.ndarray, " D"]
    target: Float[np.ndarray, " E"]
    basis: Float[np.ndarray, "E R"]
    method: str
    pairs: int
    fit: float
    identified: bool

    def __call__(self, released: Float[np.ndarray, "B D"]) -> Float[np.ndarray, "B E"]:
        """Return the released vectors in the attacker's own space. Raises BadInput for vectors of another width."""
        if released.shape[1] != len(self.source):
            raise BadInput(f"released: expected vectors of width {len(self.source)}, got {released.shape[1]}")
        return (released.astype(np.float64) - self.source) @ self.weight + self.target

    def determined(self, own: Float[np.ndarray, "B E"]) -> Float[np.ndarray, "B R"]:
        """Return the coordinates of vectors of the own space in which released and own vectors can be compared."""
        return (own.astype(np.float64) - self.target) @ self.basis


@dataclass(frozen=True)
class _Linear:
    """A map between centred vectors, and the directions (columns) that it determines."""

    weight: np.ndarray
    basis: np.ndarray


def align_pairs(
    known_released: Rows,
    known_own: Rows,
    released: Rows,
    own: Rows,
    *,
    seed: int = 0,
) -> Alignment:
    """Align on n known pairs: orthogonal Procrustes or ridge regression, chosen by leave-one-out on the pairs.

    Row i of `known_released` and `known_own` is the same image; `released` is the whole release and `own` holds the
    attacker's vectors of other images, of which only the means, the covariance and a bank of distractors are used. The
    criterion is the mean logarithm of the rank of the pair's own vector among 1,000 own vectors. Procrustes (Schönemann
    1966) comes centred on the means of both populations or not at all; with n < E pairs it determines n directions, in
    which an exact rotation keeps every inner product. Raises BadInput for no pair, other counts or widths, and NaN.
    """
    check_spaces(released, own)
    check_known(known_released, known_own, released, own)
    left, right = known_released.astype(np.float64), known_own.astype(np.float64)
    moments = released.mean(axis=0, dtype=np.float64), own.mean(axis=0, dtype=np.float64)
    zero = np.zeros(left.shape[1]), np.zeros(right.shape[1])
    fits: dict[str, tuple[tuple[np.ndarray, np.ndarray], Callable[[np.ndarray, np.ndarray], _Linear]]] = {
        "Procrustes without an intercept": (zero, _procrustes),
        "Procrustes": (moments, _procrustes),
    }
    fits |= {f"ridge {penalty:g}": (moments, _ridge_of(penalty)) for penalty in PENALTIES}
    generator = np.random.default_rng([seed, 21])
    bank = own[generator.permutation(len(own))[:BANK_ROWS]].astype(np.float64)
    out = generator.permutation(len(left))[:MOST_LEFT_OUT]
    scores = {
        name: _leave_one_out(left - centre[0], right - centre[1], bank - centre[1], fit, out)
        for name, (centre, fit) in fits.items()
    }
    best = min(scores, key=lambda name: scores[name])
    (source, target), fit = fits[best]
    linear = _fit_in_spans(left - source, right - target, fit)
    complete = _completion(linear.basis, own[generator.permutation(len(own))[:COVARIANCE_ROWS]])
    weight = linear.weight @ linear.basis @ complete
    target = moments[1] + (target - moments[1]) @ linear.basis @ complete
    rank = float(np.exp(scores[best])) if len(left) > 1 else float(len(bank))
    # By chance the mean logarithm of a rank among B is log B - 1, with deviation 1 / sqrt(n).
    surprise = (np.log(len(bank) + 1) - 1 - np.log(rank)) * np.sqrt(len(out))
    return Alignment(weight, source, target, linear.basis, best, len(left), 1 / rank, bool(surprise > 3))


def check_spaces(released: Rows, own: Rows) -> None:
    """Raise BadInput unless both are finite matrices of at least two vectors."""
    for name, rows in (("released", released), ("own", own)):
        if rows.ndim != 2 or len(rows) < 2:
            raise BadInput(f"{name}: expected vectors of shape (N, D) with N > 1, got {rows.shape}; flatten them")
        if not np.isfinite(rows).all():
            raise BadInput(f"{name}: expected finite vectors, got NaN or infinity; leave such vectors out")


def check_known(known_released: Rows, known_own: Rows, released: Rows, own: Rows) -> None:
    """Raise BadInput unless there is one released and one own vector for each known image, of the right widths."""
    if len(known_released) != len(known_own) or len(known_own) < 1:
        raise BadInput(
            f"known: expected as many released as own vectors, at least one pair, got {len(known_released)} and "
            f"{len(known_own)}; give row i of both for the same image"
        )
    for name, rows, like in (("released", known_released, released), ("own", known_own, own)):
        if rows.shape[1:] != like.shape[1:]:
            raise BadInput(f"known: expected {name} vectors of width {like.shape[1]}, got shape {rows.shape}")
        if not np.isfinite(rows).all():
            raise BadInput(f"known: expected finite {name} vectors, got NaN or infinity; leave such pairs out")


def log_ranks(mapped: Rows, own: Rows, bank: Rows) -> Float[np.ndarray, " N"]:
    """Return the logarithm of the rank of each mapped vector's own one among it and the bank; ties count against."""
    near = np.square(mapped - own).sum(axis=1)
    far = np.square(mapped).sum(axis=1)[:, None] + np.square(bank).sum(axis=1) - 2 * mapped @ bank.T
    return np.log1p((far <= near[:, None] + 1e-9 * (1 + near[:, None])).sum(axis=1))


def _leave_one_out(
    left: np.ndarray,
    right: np.ndarray,
    bank: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray], _Linear],
    out: Sequence[int] | np.ndarray,
) -> float:
    if len(left) < 2:
        return 0.0
    # Every fit lies in the spans of the pairs: n numbers a vector do, however wide the vectors are.
    span, target_span = _row_span(left), _row_span(right)
    narrow, wanted, others = left @ span, right @ target_span, bank @ target_span
    rest = np.square(bank).sum(axis=1) - np.square(others).sum(axis=1)
    scores = []
    for row in out:
        kept = np.arange(len(left)) != row
        linear = fit(narrow[kept], wanted[kept])
        mapped = narrow[row] @ linear.weight @ linear.basis
        near = np.square(mapped - wanted[row] @ linear.basis).sum()
        far = np.square(mapped - others @ linear.basis).sum(axis=1)
        if fit is not _procrustes:  # a ridge regression predicts the directions outside the span to be zero
            far = far + rest
        scores.append(np.log1p((far <= near + 1e-9 * (1 + near)).sum()))
    return float(np.mean(scores))


def _fit_in_spans(left: np.ndarray, right: np.ndarray, fit: Callable[[np.ndarray, np.ndarray], _Linear]) -> _Linear:
    span, target_span = _row_span(left), _row_span(right)
    linear = fit(left @ span, right @ target_span)
    whole = linear.basis.shape[0] == linear.basis.shape[1] and fit is not _procrustes
    basis = np.eye(right.shape[1]) if whole else target_span @ linear.basis
    return _Linear(span @ linear.weight @ target_span.T, basis)


def _procrustes(left: np.ndarray, right: np.ndarray) -> _Linear:
    """Return the scaled partial isometry that maps left to right with the least squared error, and its directions."""
    u, values, vt = np.linalg.svd(left.T @ right, full_matrices=False)
    rank = max(1, int((values > RANK_TOLERANCE * values[0]).sum()))
    energy = float(np.square(left).sum())
    scale = float(values.sum()) / energy if energy > 0 else 1.0
    return _Linear(scale * u[:, :rank] @ vt[:rank], vt[:rank].T)


def _ridge_of(penalty: float) -> Callable[[np.ndarray, np.ndarray], _Linear]:
    def fit(left: np.ndarray, right: np.ndarray) -> _Linear:
        gram = left @ left.T if len(left) < left.shape[1] else left.T @ left
        gram[np.diag_indices(len(gram))] += penalty * float(np.square(left).sum()) / left.shape[1] + 1e-12
        if len(left) < left.shape[1]:
            weight = left.T @ np.linalg.solve(gram, right)
        else:
            weight = np.linalg.solve(gram, left.T @ right)
        return _Linear(weight, np.eye(right.shape[1]))

    return fit


def _row_span(rows: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis (D, r) of the span of the rows."""
    if len(rows) >= rows.shape[1]:
        return np.eye(rows.shape[1])
    return np.linalg.qr(rows.T)[0]


def _completion(basis: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return (r, E): what a coordinate in the basis adds to the expected whole vector, under the own covariance."""
    if basis.shape[0] == basis.shape[1]:
        return np.asarray(basis.T)
    centred = own.astype(np.float64) - own.mean(axis=0, dtype=np.float64)
    inside = centred @ basis
    gram = inside.T @ inside
    gram[np.diag_indices(len(gram))] += 1e-9 * np.trace(gram) / len(gram) + 1e-300
    return np.linalg.solve(gram, inside.T @ centred)
