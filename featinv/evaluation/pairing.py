"""Do these vectors belong to these images? A positive control that has to hold before an audit may pass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import torch
from jaxtyping import Float

from featinv.attacks.ridge import NormalEquations
from featinv.data import ImageSet
from featinv.data.image_likeness import area_matrix
from featinv.errors import BadInput
from featinv.evaluation.significance import holm
from featinv.features import Pairs
from featinv.victim import Release

ALPHA = 0.01
"""how often rows in an order of their own would be confirmed, after correction for all groups of rows"""
LEAST_AGREEMENT = 0.85
"""share of the weaker side's advantage in that of the stronger one, below which some rows are taken for mismatched"""
DISAGREEMENT_Z = 2.33
"""standard errors below `LEAST_AGREEMENT` at which it is refused (one false refusal in a hundred at that agreement)"""
MOST_ROWS = 2000
FOLDS = 4
SIDE = 8
WIDTH = 512
BLOCK = 32
"""rows among which vectors are exchanged: files are often sorted by class, so that neighbours are of one class"""
LEAST_ROWS = 25
"""rows of a group that is tested by itself"""
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)


@dataclass(frozen=True)
class Pairing:
    """What a closed-form attack says of the order of vectors and images, for the public and for the private side.

    `p_public` and `p_private` are one-sided, corrected, and those of the weakest group of rows. `auc_*` is the share of
    the other images of its block from which a prediction is farther than from its own (0.5 by chance), `agreement` the
    weaker side's advantage over chance in units of the stronger one's.
    """

    p_public: float
    p_private: float
    auc_public: float
    auc_private: float
    agreement: float
    agreement_refused: bool

    @property
    def confirmed(self) -> bool:
        """Say whether both sides were confirmed and agree."""
        return max(self.p_public, self.p_private) < ALPHA and not self.agreement_refused

    @property
    def text(self) -> str:
        """One sentence with the evidence."""
        evidence = f"public {_p_text(self.p_public)}, private {_p_text(self.p_private)}"
        if self.confirmed:
            return f"the vectors belong to these images: confirmed ({evidence})"
        if not self.agreement_refused:
            return (
                f"the vectors could not be confirmed to belong to these images ({evidence}): rows and images may be in "
                "different orders, or the vectors hold too little of the images"
            )
        weak, strong = ("private", "public") if self.auc_private < self.auc_public else ("public", "private")
        return (
            f"the {weak} vectors fit their images {100 * self.agreement:.0f} % as well as the {strong} ones do: some "
            "rows may belong to other images, or the two sides show images of different kinds"
        )


def check_pairing(pairs: Pairs, release: Release, *, seed: int = 0) -> Pairing:
    """Test whether ridge regression predicts an image better from its own vector than from mismatched vectors.

    Images are reduced to 8 x 8 colours, vectors above 512-d projected at random. Four fits, each on three
    quarters of the public rows, predict the rows left out and a quarter of the private ones, at most 2,000 a side.
    Vectors are exchanged within blocks of 32 neighbouring rows: neighbours in a sorted file are mostly of one class,
    and to know the class is no pairing. Each quarter of the rows (from 100 rows on; each half from 50) has to show it
    by itself, so that a shift in the middle of a file is seen; p is Hoeffding's normal approximation of the
    permutation test (1951, doi:10.1214/aoms/1177729593), corrected by Holm. Where one side's advantage is below 85 %
    of the other's, a share of its rows is mismatched.
    Raises BadInput for fewer than 8 public or 2 private rows, and a release without its images.
    """
    if release.truth is None:
        raise BadInput("release: testing the pairing needs the private images; give it its `truth`")
    if len(pairs) < 2 * FOLDS or len(release) < 2:
        raise BadInput(f"pairing: expected at least 8 public and 2 private rows, got {len(pairs)} and {len(release)}")
    public, private = _spread(len(pairs)), _spread(len(release))
    project = _projection(math.prod(pairs.feature_shape), seed)
    x_public = _flat(pairs.features(public)) @ project
    x_private = _flat(release.features[private]) @ project
    y_public, y_private = small_colours(pairs.images, public), small_colours(release.truth, private)

    guesses = [np.empty_like(y_public), np.empty_like(y_private)]
    drawn = np.random.default_rng(seed)
    fold_public, fold_private = (drawn.permutation(len(side)) % FOLDS for side in (public, private))
    for fold in range(FOLDS):
        # The same fit predicts both sides, so that neither has seen more images than the other.
        held, others = fold_public == fold, fold_private == fold
        wanted = np.concatenate([x_public[held], x_private[others]])
        predicted = _predict(x_public[~held], y_public[~held], wanted)
        guesses[0][held], guesses[1][others] = predicted[: held.sum()], predicted[held.sum() :]
    mean = y_public.mean(axis=0)
    return _decide(
        [_directions(side, mean) for side in guesses], [_directions(side, mean) for side in (y_public, y_private)]
    )


def small_colours(images: ImageSet, rows: np.ndarray) -> Float[np.ndarray, "N K"]:
    """Return images at `rows` reduced by area to 8 x 8 colours, flattened."""
    reduce = area_matrix(min(SIDE, images.size), images.size)
    blocks = np.array_split(rows, max(1, len(rows) // 256))
    small = [
        np.einsum("ai,nijc,bj->nabc", reduce, images.uint8(block).astype(np.float32) / 255, reduce, optimize=True)
        for block in blocks
    ]
    return np.concatenate(small).reshape(len(rows), -1).astype(np.float32)


def exchange_test(scores: Sequence[np.ndarray]) -> float:
    """Return the one-sided p of "rows score higher with their own columns than after exchange within their block".

    Each block is (B, B) scores of its own size.

    The permutation distribution of the sum of the diagonals has mean zero and the variance
    sum(d^2) / (B - 1), d the doubly centred scores (Hoeffding 1951, theorem 2); blocks add up.
    """
    advantage = variance = 0.0
    for block in scores:
        centred = block - block.mean(0, keepdims=True) - block.mean(1, keepdims=True) + block.mean()
        advantage += float(np.trace(centred))
        variance += float((centred**2).sum()) / max(1, len(block) - 1)
    # Constant vectors make constant predictions, whose rounding must not count as evidence.
    if variance <= 1e-12 * sum(len(block) for block in scores):
        return 1.0
    return float(scipy.special.ndtr(-advantage / math.sqrt(variance)))


def _decide(guesses: list[np.ndarray], images: list[np.ndarray]) -> Pairing:
    p: dict[tuple[int, int], float] = {}
    ranks = []
    for side, (guess, image) in enumerate(zip(guesses, images, strict=True)):
        count = len(guess)
        for group, rows in enumerate(np.array_split(np.arange(count), _groups(count))):
            p[side, group] = exchange_test(_scores(guess[rows], image[rows]))
        ranks.append(np.concatenate([_own_rank(block) for block in _scores(guess, image)]))
    corrected = holm(p)
    public, private = (max(value for (side, _), value in corrected.items() if side == wanted) for wanted in (0, 1))
    agreement, refused = _agreement(ranks)
    return Pairing(public, private, float(ranks[0].mean()), float(ranks[1].mean()), agreement, refused)


def _agreement(ranks: list[np.ndarray]) -> tuple[float, bool]:
    """Return the weaker advantage over the stronger one, and whether it is surely below what is accepted."""
    weak, strong = sorted(ranks, key=lambda side: float(side.mean()))
    gap_weak, gap_strong = float(weak.mean()) - 0.5, float(strong.mean()) - 0.5
    error = math.sqrt(weak.var() / len(weak) + LEAST_AGREEMENT**2 * strong.var() / len(strong))
    short = LEAST_AGREEMENT * gap_strong - gap_weak
    return max(0.0, gap_weak) / max(gap_strong, 1e-9), short > DISAGREEMENT_Z * max(error, 1e-9)


def _groups(rows: int) -> int:
    return 4 if rows >= 4 * LEAST_ROWS else 2 if rows >= 2 * LEAST_ROWS else 1


def _scores(guess: np.ndarray, image: np.ndarray) -> list[np.ndarray]:
    """Cosine of each prediction with each image of its block of neighbours."""
    blocks = np.array_split(np.arange(len(guess)), max(1, round(len(guess) / BLOCK)))
    return [guess[rows] @ image[rows].T for rows in blocks]


def _own_rank(scores: np.ndarray) -> np.ndarray:
    """Return the share of the other columns that a row's own one exceeds, ties by half."""
    own = np.diag(scores)[:, None]
    below = (scores < own).sum(1) + 0.5 * ((scores == own).sum(1) - 1)
    return below / max(1, len(scores) - 1)


def _predict(x: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Ridge regression at the penalty that predicts best on the last third of the rows, drawn at random."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-6 * max(1e-30, float(scale.max())), scale, np.inf)
    x, wanted = (x - mean) / scale, (wanted - mean) / scale
    order = np.random.default_rng(0).permutation(len(x))
    kept, tried = order[: 2 * len(x) // 3], order[2 * len(x) // 3 :]
    errors = [((guess - y[tried]) ** 2).mean() for guess in _ridge(x[kept], y[kept], x[tried], PENALTIES)]
    return _ridge(x, y, wanted, [PENALTIES[int(np.argmin(errors))]])[0]


def _ridge(x: np.ndarray, y: np.ndarray, wanted: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    equations = NormalEquations(x.shape[1], y.shape[1])
    equations.add(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y))
    solved = [equations.solve(penalty) for penalty in penalties]
    return [wanted.astype(np.float32) @ weight.numpy() + bias.numpy() for weight, bias in solved]


def _directions(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    centred = values - mean
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _spread(count: int) -> np.ndarray:
    """At most `MOST_ROWS` rows, as runs of neighbouring blocks spread evenly over the file."""
    if count <= MOST_ROWS:
        return np.arange(count)
    starts = np.linspace(0, count - BLOCK, MOST_ROWS // BLOCK).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(BLOCK)).ravel())


def _flat(features: np.ndarray) -> np.ndarray:
    return np.asarray(features, dtype=np.float32).reshape(len(features), -1)


def _projection(numbers: int, seed: int) -> np.ndarray:
    if numbers <= WIDTH:
        return np.eye(numbers, dtype=np.float32)
    drawn = np.random.default_rng(seed).standard_normal((numbers, WIDTH), dtype=np.float32)
    return drawn / np.float32(math.sqrt(WIDTH))


def _p_text(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
