"""What released vectors are still good for: reading classes off them, and finding neighbours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Num

from featinv.errors import BadInput
from featinv.evaluation.intervals import LEVEL, RESAMPLES, Interval, bootstrap_all, rate
from featinv.evaluation.probes import label_free, linear_probe
from featinv.evaluation.resampling import resampled_means

NEIGHBOURS = 20
DEPTH = 50
FOUND = 10
MOST_ROWS = 10_000
"""rows that probe and neighbours learn from at most, drawn by seed"""
MOST_QUERIES = 2_000
"""held-out rows at most, drawn by seed"""
LEAST_QUERIES = 500
MULTIPLICATIONS = 2 * 10**10
"""of one search for neighbours: wide vectors get fewer held-out rows, from 500 on"""
_BLOCK_BYTES = 64 * 2**20
_STEPS = np.float32(1e5)
Head = Callable[[Float[np.ndarray, "N D"]], Float[np.ndarray, "N K"]]


@final
@dataclass(frozen=True, eq=False)
class UtilityVectors:
    """Vectors as released (N, D'), the same without the defence (N, D), and labels (N,) where there are any.

    Raises BadInput for other counts, NaN, and labels that are not whole numbers.
    """

    defended: Float[np.ndarray, "_ _"]
    clean: Float[np.ndarray, "_ _"]
    labels: Int64[np.ndarray, " _"] | None = None

    def __post_init__(self) -> None:
        for name, rows in (("defended", self.defended), ("clean", self.clean)):
            if len(rows) != len(self.defended):
                raise BadInput(f"{name}: expected {len(self.defended)} vectors, one an image, got {len(rows)}")
            if not np.isfinite(rows).all():
                raise BadInput(f"{name}: expected finite vectors, got NaN or infinity; leave such vectors out")
        if self.labels is not None and len(self.labels) != len(self.defended):
            raise BadInput(f"labels: expected one for each of {len(self.defended)} vectors, got {len(self.labels)}")

    def __len__(self) -> int:
        return len(self.defended)

    def take(self, rows: Int64[np.ndarray, " M"]) -> "UtilityVectors":
        """Return the rows in that order."""
        return UtilityVectors(self.defended[rows], self.clean[rows], None if self.labels is None else self.labels[rows])


@final
@dataclass(frozen=True, eq=False)
class Utility:
    """Numbers of every held-out image, (N,) each; None where there are no labels, or no head that takes the vectors.

    The class axis: `probe`, a linear probe, and `knn`, the vote of 20 neighbours, both retrained on defended vectors,
    `head`, the untouched classifier of the undefended ones (right or wrong, each), and `average_precision` of the class
    among the 50 nearest, divided by min(50, members of the class). The instance axis: `recall`, the share of the ten
    nearest undefended neighbours that are among the ten nearest defended ones. `commonest` is the share of the
    commonest label, which needs no vector, and `neighbours` (N, 10) are the undefended ones: rows of the public
    vectors that were used.
    """

    probe: Bool[np.ndarray, " N"] | None
    knn: Bool[np.ndarray, " N"] | None
    head: Bool[np.ndarray, " N"] | None
    average_precision: Float64[np.ndarray, " N"] | None
    recall: Float64[np.ndarray, " N"]
    commonest: float | None
    neighbours: Int64[np.ndarray, "N k"]

    def values(self) -> dict[str, Float64[np.ndarray, " N"]]:
        """Return the numbers of every held-out image by measure, without those that are not there."""
        every = {
            "probe": self.probe,
            "20-NN": self.knn,
            "head": self.head,
            "class mAP@50": self.average_precision,
            "recall@10": self.recall,
        }
        return {name: values.astype(np.float64) for name, values in every.items() if values is not None}

    def intervals(self) -> dict[str, Interval]:
        """Return each measure that is there with its interval: Wilson for rates, BCa bootstrap for means."""
        rates = {"probe": self.probe, "20-NN": self.knn, "head": self.head}
        means = {name: values for name, values in self.values().items() if name not in rates}
        intervals = {name: rate(hits, chance=self.commonest) for name, hits in rates.items() if hits is not None}
        return intervals | bootstrap_all(means)

    def kept(self, raw: "Utility", *, seed: int = 0, level: float = LEVEL) -> dict[str, Interval]:
        """Return each measure divided by that of the undefended vectors, as `utility_kept`, from the same resamples.

        A measure by which the undefended vectors are worth nothing is left out. Raises BadInput for other images.
        """
        ours, theirs = self.values(), raw.values()
        return _ratios({n: (ours[n], theirs[n]) for n in ours if n in theirs and theirs[n].any()}, seed, level)

    def __str__(self) -> str:
        """One line an axis."""
        lines = {
            name: f"{name} {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            for name, interval in self.intervals().items()
        }
        instance = lines.pop("recall@10")
        return f"class utility: {', '.join(lines.values()) or 'no labels'}\ninstance utility: {instance}"


def utility(
    public: UtilityVectors,
    held_out: UtilityVectors | None = None,
    *,
    head: Head | None = None,
    seed: int = 0,
    raw: Utility | None = None,
) -> Utility:
    """Measure class and instance utility of defended vectors on held-out ones.

    Probe, votes and neighbours come from `public`; without `held_out` a fifth of `public`, drawn by `seed`, is held
    out. At most 10,000 public and 2,000 held-out rows (fewer of wide vectors) are used, drawn by `seed`, so that two
    settings of a defence are measured on the same rows. Neighbours are by cosine, centred on the public mean. `head`
    maps vectors of the undefended width to logits. `raw` is the undefended utility of the same images with the same
    seed, where it was measured: its neighbours are not searched again. Raises BadInput for fewer than 21 public rows,
    labels of one class, labels on one side only, sides of other widths, and `raw` of other images.
    """
    public, held_out = _drawn(public, held_out, np.random.default_rng([seed, 31]))
    _check(public, held_out)
    near = nearest_rows(held_out.defended, public.defended, DEPTH)
    true = nearest_rows(held_out.clean, public.clean, FOUND) if raw is None else raw.neighbours
    if len(true) != len(held_out) or true.max() >= len(public):
        raise BadInput(f"raw: expected the utility of the same {len(held_out)} images, got that of {len(true)} others")
    recall = (near[:, :FOUND, None] == true[:, None, :]).any(axis=2).sum(axis=1) / FOUND
    if public.labels is None or held_out.labels is None:
        return Utility(None, None, None, None, recall, None, true)
    classes, member = np.unique(public.labels, return_inverse=True)
    readings = linear_probe(_single(public.defended), member.astype(np.int64), _single(held_out.defended))
    votes = np.zeros((len(near), len(classes)), dtype=np.int64)
    for column in near[:, :NEIGHBOURS].T:
        votes[np.arange(len(near)), member[column]] += 1
    return Utility(
        probe=classes[readings] == held_out.labels,
        knn=classes[votes.argmax(axis=1)] == held_out.labels,
        head=_untouched(head, held_out),
        average_precision=_average_precision(public.labels[near], held_out.labels, public.labels),
        recall=recall,
        commonest=label_free(held_out.labels),
        neighbours=true,
    )


def _drawn(
    public: UtilityVectors, held_out: UtilityVectors | None, generator: np.random.Generator
) -> tuple[UtilityVectors, UtilityVectors]:
    """Return the rows that are used, in a random order, so that ties among equal codes are not broken by class."""
    order = generator.permutation(len(public))
    asked = max(1, len(public) // 5) if held_out is None else 0
    rows = order[asked:][:MOST_ROWS]
    affordable = max(LEAST_QUERIES, MULTIPLICATIONS // (len(rows) * public.clean.shape[1] + 1))
    most = min(MOST_QUERIES, affordable)
    if held_out is None:
        return public.take(rows), public.take(order[:asked][:most])
    return public.take(rows), held_out.take(generator.permutation(len(held_out))[:most])


def utility_kept(
    defended: Num[np.ndarray, " _"] | Bool[np.ndarray, " _"],
    raw: Num[np.ndarray, " _"] | Bool[np.ndarray, " _"],
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the mean of a measure divided by that of the undefended vectors, with a paired bootstrap interval.

    Row i of both is the same held-out image; images are drawn with replacement, limits are percentiles. Raises BadInput
    for other counts and where the undefended measure is zero.
    """
    if len(raw) == len(defended) > 1 and not float(raw.mean()) > 0:
        raise BadInput(
            "kept: the undefended vectors have no utility by this measure, so that no share of it is utility_kept"
        )
    return _ratios({"": (defended, raw)}, seed, level)[""]


def _ratios(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], seed: int, level: float) -> dict[str, Interval]:
    for ours, theirs in pairs.values():
        if len(ours) != len(theirs) or len(theirs) < 2:
            raise BadInput(f"kept: expected values of the same images, at least 2, got {len(ours)} and {len(theirs)}")
    if not pairs:
        return {}
    table = np.stack([column for pair in pairs.values() for column in pair], axis=1).astype(np.float64)
    means = resampled_means(table, np.ones(len(table)), RESAMPLES, seed)
    precisions = {}
    for place, name in enumerate(pairs):
        ratios = means[:, 2 * place] / np.maximum(means[:, 2 * place + 1], 1e-12)
        low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
        mean = float(table[:, 2 * place].mean() / table[:, 2 * place + 1].mean())
        precisions[name] = Interval(mean, float(low), float(high), len(table))
    return precisions


def nearest_rows(
    queries: Float[np.ndarray, "N D"], bank: Float[np.ndarray, "M D"], count: int
) -> Int64[np.ndarray, "N k"]:
    """Return the rows of the nearest bank vectors of each query, nearest first: cosine, centred on the bank's mean.

    In float32 and in blocks of 64 MiB; ties fall in the order of the bank.
    """
    count = min(count, len(bank))
    mean = bank.mean(axis=0, dtype=np.float64)
    candidates = _directions(bank, mean)
    nearest = np.empty((len(queries), count), dtype=np.int64)
    step = max(1, _BLOCK_BYTES // (4 * len(bank)))
    for start in range(0, len(queries), step):
        cosines = _directions(queries[start : start + step], mean) @ candidates.T
        # Equal vectors must tie whatever the rounding of the matrix product: whole hundred-thousandths.
        np.rint(np.multiply(cosines, _STEPS, out=cosines), out=cosines)
        best = (
            np.argsort(-cosines, axis=1, kind="stable")[:, :count] if count * 20 > len(bank) else _top(cosines, count)
        )
        nearest[start : start + step] = best
    return nearest


def _top(cosines: np.ndarray, count: int) -> np.ndarray:
    least = np.partition(cosines, -count, axis=1)[:, -count]
    rows = []
    for row, bound in zip(cosines, least, strict=True):
        candidates = np.flatnonzero(row >= bound)
        rows.append(candidates[np.argsort(-row[candidates], kind="stable")][:count])
    return np.stack(rows)


def _directions(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    centred = (rows - mean).astype(np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9 * float(np.linalg.norm(mean)))


def _average_precision(nearest: np.ndarray, labels: np.ndarray, bank: np.ndarray) -> Float64[np.ndarray, " N"]:
    relevant = nearest == labels[:, None]
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    names, counts = np.unique(bank, return_counts=True)
    members = np.array(
        [dict(zip(names.tolist(), counts.tolist(), strict=True)).get(label, 0) for label in labels.tolist()]
    )
    return np.asarray((precision * relevant).sum(axis=1) / np.clip(members, 1, relevant.shape[1]))


def _untouched(head: Head | None, held_out: UtilityVectors) -> np.ndarray | None:
    # A defence of another width (codes, components) leaves nothing that the old head could read.
    if head is None or held_out.labels is None or held_out.defended.shape[1:] != held_out.clean.shape[1:]:
        return None
    logits = np.asarray(head(_single(held_out.defended)))
    if logits.ndim != 2 or len(logits) != len(held_out):
        raise BadInput(f"head: expected logits (N, classes) for {len(held_out)} vectors, got shape {logits.shape}")
    return np.asarray(logits.argmax(axis=1) == held_out.labels)


def _check(public: UtilityVectors, held_out: UtilityVectors) -> None:
    for name in ("defended", "clean"):
        widths = getattr(public, name).shape[1:], getattr(held_out, name).shape[1:]
        if widths[0] != widths[1]:
            raise BadInput(
                f"held_out: expected {name} vectors of width {widths[0]}, as the public ones, got {widths[1]}"
            )
    if len(public) <= NEIGHBOURS:
        raise BadInput(f"utility: expected more than {NEIGHBOURS} public vectors to vote, got {len(public)}; give more")
    if len(held_out) < 2:
        raise BadInput(f"utility: expected at least 2 held-out vectors, got {len(held_out)}; give more")
    if (public.labels is None) != (held_out.labels is None):
        raise BadInput("labels: expected them for public and held-out vectors, or for neither, got one side only")
    if public.labels is not None and len(np.unique(public.labels)) < 2:
        raise BadInput("labels: expected at least 2 classes, got one; class utility needs something to tell apart")


def _single(rows: np.ndarray) -> Float[np.ndarray, "N D"]:
    return np.ascontiguousarray(rows, dtype=np.float32)
