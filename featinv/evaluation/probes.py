"""What can be read off: attributes from vectors, reconstructions and originals; memorisation of training images."""

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Int64

from featinv.data import ImageSet

FOLDS = 5
_PENALTY = 1e-2
"""Share of the mean eigenvalue that is added to each: enough where features outnumber images."""
_RIDGE = 1e-6
"""Share of the scores' mean square that is added to their variance within classes."""
_CELLS = 2**22
_MOST_LABELS = 100


def probe_hits(
    features: Float[np.ndarray, "N D"], labels: Int64[np.ndarray, " N"], seed: int
) -> Bool[np.ndarray, " N"]:
    """Say of every image whether a linear probe that was fitted on other images reads its label off the features.

    Ridge regression of one-hot labels on standardised features, in five folds drawn by `seed`. Held against the share
    of the commonest label, which needs no features.
    """
    hits = np.zeros(len(labels), dtype=bool)
    classes, member = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[member]
    for fold in np.array_split(np.random.default_rng([seed, 6]).permutation(len(labels)), FOLDS):
        fitted = np.setdiff1d(np.arange(len(labels)), fold)
        scores = ridge_scores(features[fitted].astype(np.float64), targets[fitted], features[fold].astype(np.float64))
        hits[fold] = scores.argmax(axis=1) == member[fold]
    return hits


def memorisation(
    reconstructed: Float[np.ndarray, "N D"], original: Float[np.ndarray, "N D"], public: Float[np.ndarray, "M D"]
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Say of every reconstruction whether a public image is nearer than its own original, and than all others.

    Cosines of the judge's features, centred on the mean of the originals. The first answer is yes more often the more
    public images there are, whatever the attack learnt; the second has a chance: where public and private images
    are alike and nothing is memorised, the nearest image, its own original aside, is public in a share M / (M + N - 1)
    of the cases (compare the test for copies of arXiv:2004.05675). A nearest neighbour always has one nearer.
    """
    centre = original.mean(axis=0, dtype=np.float64)
    ours, own, others = (_directions(rows, centre) for rows in (reconstructed, original, public))
    training, private = _highest(ours, others), _highest(ours, own, skip_own=True)
    return training > (ours * own).sum(axis=1), training > private


def _highest(
    rows: Float[np.ndarray, "N D"], others: Float[np.ndarray, "M D"], *, skip_own: bool = False
) -> Float[np.ndarray, " N"]:
    """Return each row's highest cosine with the others; with `skip_own` the other of its own number stands aside."""
    highest = np.full(len(rows), -np.inf)
    step = max(1, _CELLS // len(rows))
    for start in range(0, len(others), step):
        cosines = rows @ others[start : start + step].T
        if skip_own:
            places = np.arange(start, start + cosines.shape[1])
            cosines[places, places - start] = -np.inf
        highest = np.maximum(highest, cosines.max(axis=1))
    return highest


def ridge_scores(
    training: Float[np.ndarray, "N D"], targets: Float[np.ndarray, "N K"], held_out: Float[np.ndarray, "M D"]
) -> Float[np.ndarray, "M K"]:
    """Return what ridge regression of `targets` on standardised known rows predicts for the rows asked for.

    Computed in the precision of the rows.
    """
    mean, scale = (moment(axis=0, dtype=np.float64).astype(training.dtype) for moment in (training.mean, training.std))
    # Constant features stay as they are: 0 once centred.
    rounding = max(1e-9, float(np.finfo(training.dtype).eps))
    scale = np.where(scale > rounding * (np.abs(mean) + 1), scale, np.ones_like(scale))
    training, held_out = (training - mean) / scale, (held_out - mean) / scale
    # The smaller of the two normal equations.
    gram = training @ training.T if training.shape[1] > len(training) else training.T @ training
    penalty = _PENALTY * (np.trace(gram) / len(gram) + 1e-12)
    gram[np.diag_indices(len(gram))] += penalty
    centred = targets - targets.mean(axis=0)
    if training.shape[1] > len(training):
        weights = training.T @ scipy.linalg.solve(gram, centred, assume_a="pos")
    else:
        weights = scipy.linalg.solve(gram, training.T @ centred, assume_a="pos")
    return held_out @ weights + targets.mean(axis=0)


def linear_probe(
    training: Float[np.ndarray, "N D"], classes: Int64[np.ndarray, " N"], held_out: Float[np.ndarray, "M D"]
) -> Int64[np.ndarray, " M"]:
    """Return the class, numbered from 0, that a linear classifier reads off each held-out row.

    Linear discriminant analysis, by way of the scores of a ridge regression of one-hot labels (optimal scoring: Hastie,
    Tibshirani and Buja 1994). The largest score itself hides a class that lies between others, which costs most
    in few dimensions. Fitted in closed form, for rows of any width.
    """
    count = int(classes.max()) + 1
    targets = np.eye(count, dtype=training.dtype)[classes]
    scores = ridge_scores(training, targets, np.concatenate([training, held_out])).astype(np.float64)
    fitted, asked = scores[: len(training)], scores[len(training) :]
    sizes = np.maximum(np.bincount(classes, minlength=count), 1)
    means = (targets.T.astype(np.float64) @ fitted) / sizes[:, None]
    within = fitted - means[classes]
    scatter = within.T @ within / len(fitted)
    # The scores of a row add up to one, so that one direction never varies.
    scatter[np.diag_indices(count)] += _RIDGE * (np.trace(scatter) / count + np.trace(means.T @ means) / count)
    weights = scipy.linalg.solve(scatter, means.T, assume_a="pos")
    offsets = np.log(sizes / len(fitted)) - 0.5 * (means * weights.T).sum(axis=1)
    return np.asarray((asked @ weights + offsets).argmax(axis=1), dtype=np.int64)


def _directions(rows: Float[np.ndarray, "N D"], centre: Float[np.ndarray, " D"]) -> Float[np.ndarray, "N D"]:
    moved = rows.astype(np.float64) - centre
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.divide(moved, length, out=np.zeros_like(moved), where=length > 0)


def label_free(labels: np.ndarray) -> float:
    """Return the best rate without any features: the share of the commonest label."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def attributes_of(images: ImageSet) -> dict[str, np.ndarray]:
    """Return labels and factors of 2 to 100 values, each seen often enough for a probe, by name."""
    attributes = {} if images.labels is None else {"label": np.asarray(images.labels)}
    for name, values in images.factors.items():
        if not np.array_equal(values, attributes.get("label", ())):  # the factor that the labels are made of
            attributes[name] = np.asarray(values)
    usable = {}
    for name, values in attributes.items():
        if 2 <= len(np.unique(values)) <= min(_MOST_LABELS, len(values) // FOLDS):
            usable[name] = values.astype(np.int64)
    return usable
