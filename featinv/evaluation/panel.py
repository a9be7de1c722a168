"""What is measured on every reconstruction, and how one attack's pass over the release is made."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.catalogue import METRICS
from featinv.evaluation.columns import WITHIN_CLASS, normalised, within_view
from featinv.evaluation.judging import TREATMENTS, ImageStore, JudgeOutputs, OutputsCollector
from featinv.evaluation.reidentification import ranks, ranks_within
from featinv.evaluation.summary import check_finite, values_of
from featinv.metrics.metric import Metric
from featinv.metrics.value_range import SLACK, rounded
from featinv.types import Images, Judge

PerImage = dict[str, np.ndarray]
"""Arrays of N numbers, keyed "<metric>" for the first judge and the whole gallery, else "<metric>/<view>"."""

MAIN = ""
_PIXELS = 2**22
"""Pixels of the largest batch (48 MiB in float32): a batch that suits 32 px would not fit at 256 px."""
USUAL = tuple(metric for metric in METRICS if metric.needs in ("images", "judge") and not metric.on_request)
"""The metrics of images and of judge outputs that every comparison has."""


@dataclass(frozen=True)
class Pass:
    """One unpadded, unshuffled pass of an attack over the release."""

    name: str
    images: ImageStore
    outputs: dict[str, JudgeOutputs]
    without: frozenset[str]
    failed: Bool[np.ndarray, " N"]
    seconds: float


@dataclass(frozen=True, eq=False)
class Panel:
    """Everything that scoring one attack needs: metrics, and what the judges say of the originals in every view.

    `originals` are what reconstructions are held against; a treated reconstruction is still compared with the
    untouched original, and `treated_originals` say what the treatment alone does. `prepare` makes one.
    """

    truth: ImageSet
    judges: tuple[Judge, ...]
    originals: dict[str, JudgeOutputs]
    treated_originals: dict[str, JudgeOutputs]
    metrics: tuple[Metric, ...]
    galleries: tuple[int, ...]
    seed: int
    batch_size: int
    tick: Callable[[int], object]

    @classmethod
    def prepare(
        cls,
        truth: ImageSet,
        judges: Sequence[Judge],
        *,
        galleries: Sequence[int] = (),
        seed: int = 0,
        batch_size: int = 256,
        metrics: Sequence[Metric] | None = None,
        tick: Callable[[int], object] = lambda done: None,
    ) -> "Panel":
        """Run every judge on the originals and return the panel.

        `metrics` are those of images and of judge outputs; None: the usual ones. Batches hold at most `batch_size`
        images, fewer when these are large. Raises BadInput for a batch of none.
        """
        if batch_size < 1:
            raise BadInput(f"batch_size: expected at least 1, got {batch_size}")
        batch_size = max(1, min(batch_size, _PIXELS // truth.size**2))
        collectors = {view: OutputsCollector(len(truth)) for view in _views(judges)}
        for rows in _batches(len(truth), batch_size):
            _run_judges(judges, truth.batch(rows), collectors)
            tick(len(rows))
        outputs = {view: collector.done() for view, collector in collectors.items()}
        return cls(
            truth,
            tuple(judges),
            originals={view: outputs[MAIN if view in TREATMENTS else view] for view in outputs},
            treated_originals={view: outputs[view] for view in TREATMENTS},
            metrics=USUAL if metrics is None else tuple(metrics),
            galleries=tuple(galleries),
            seed=seed,
            batch_size=batch_size,
            tick=tick,
        )

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """The class of each image: its label, else the first judge's."""
        return self.originals[MAIN].labels if self.truth.labels is None else self.truth.labels

    @functools.cached_property
    def class_sizes(self) -> Int64[np.ndarray, " N"]:
        """How many images each image's class has."""
        _, member, counts = np.unique(self.classes, return_inverse=True, return_counts=True)
        return counts[member]

    @property
    def views(self) -> tuple[str, ...]:
        """The ways a reconstruction is outputs at: by the first judge, treated, and by each other judge."""
        return _views(self.judges)

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the row numbers of one batch after the other, in order."""
        return _batches(len(self.truth), self.batch_size)

    def size_of(self, view: str) -> int | Int64[np.ndarray, " N"]:
        """Return how many candidates the gallery of a view holds; of the class of each image, within classes."""
        if view.startswith(WITHIN_CLASS):
            return self.class_sizes
        return next((size for size in self.galleries if view == gallery_view(size)), len(self.truth))

    def run(
        self,
        name: str,
        reconstruct: Callable[[np.ndarray], Images],
        store: ImageStore,
        *,
        without: frozenset[str] = frozenset(),
    ) -> Pass:
        """Reconstruct every vector once and run every judge on the result; what is no image is marked as failed.

        `without` names metrics of images that are not to judge this attack.
        """
        collectors = {view: OutputsCollector(len(self.truth)) for view in self.views}
        failed, seconds = [], 0.0
        for rows in self.batches():
            begin = time.perf_counter()
            images = reconstruct(rows)
            seconds += time.perf_counter() - begin
            sound, bad = _sound(images, (len(rows), 3, self.truth.size, self.truth.size), name)
            store.append(sound)
            _run_judges(self.judges, sound, collectors)
            failed.append(bad)
            self.tick(len(rows))
        if store.count != len(self.truth):
            raise BadInput(f"{name}: scored {store.count} reconstructions of {len(self.truth)} images")
        outputs = {view: collector.done() for view, collector in collectors.items()}
        return Pass(name, store, outputs, without, np.concatenate(failed), seconds)

    def score(
        self, result: Pass, *, order: Int64[np.ndarray, " N"] | None = None, views: Sequence[str] | None = None
    ) -> PerImage:
        """Return every number of every image; with `order`, reconstruction order[i] is held against original i."""
        order = np.arange(len(self.truth)) if order is None else order
        arrays = self._pixels(result, order)
        judged = [metric for metric in self.metrics if metric.needs == "judge"]
        for view in self.views if views is None else views:
            reconstructed, original = result.outputs[view].take(order), self.originals[view]
            for metric in judged:
                values = values_of(metric, reconstructed, original, count=len(order))
                check_finite(metric, np.where(result.failed[order], 0, values))
                arrays[keyed(metric.name, view)] = values
            arrays[keyed("rank", view)] = ranks(reconstructed.features, original.features).astype(np.int32)
            inside = ranks_within(reconstructed.features, original.features, self.classes).astype(np.int32)
            if view == MAIN:
                arrays[keyed("rank", WITHIN_CLASS)] = inside
            arrays[keyed("reid_auc", within_view(view))] = normalised(inside, self.class_sizes).astype(np.float32)
        if views is None:
            features = result.outputs[MAIN].features[order]
            arrays.update(self.gallery_ranks(features, self.originals[MAIN].features))
        return self._mark_failed(arrays, result.failed[order])

    def agreement(self, result: Pass, order: Int64[np.ndarray, " N"]) -> PerImage:
        """Return, for every view but the plain one, whether reconstruction order[i] gets the label of original i."""
        views = [view for view in self.views if view != MAIN]
        same = {view: result.outputs[view].take(order).labels == self.originals[view].labels for view in views}
        return {view: agreeing & ~result.failed[order] for view, agreeing in same.items()}

    def gallery_ranks(self, features: np.ndarray, candidates: np.ndarray, *, whole: bool = False) -> PerImage:
        """Return the ranks in each of the smaller galleries, and with `whole` in the whole one too."""
        sizes = {gallery_view(size): size for size in self.galleries} | ({MAIN: len(self.truth)} if whole else {})
        return {
            keyed("rank", view): ranks(features, candidates, size=size, seed=self.seed).astype(np.int32)
            for view, size in sizes.items()
        }

    def label_chance(self) -> dict[str, float]:
        """Return, for every view, the best agreement without any vector: the share of the commonest label."""
        return {
            view: float(np.unique(outputs.labels, return_counts=True)[1].max() / len(self.truth))
            for view, outputs in self.originals.items()
        }

    def _pixels(self, result: Pass, order: np.ndarray) -> PerImage:
        used = [metric for metric in self.metrics if metric.needs == "images" and metric.name not in result.without]
        columns: dict[str, list[np.ndarray]] = {metric.name: [] for metric in used}
        for rows in self.batches():
            originals, images = self.truth.batch(rows), result.images.batch(order[rows])
            for metric in used:
                values = values_of(metric, images, originals, count=len(rows))
                check_finite(metric, np.where(result.failed[order[rows]], 0, values), int(rows[0]))
                columns[metric.name].append(values)
        return {name: np.concatenate(column) for name, column in columns.items()}

    def _mark_failed(self, arrays: PerImage, failed: np.ndarray) -> PerImage:
        if not failed.any():
            return arrays
        worst_of = {metric.name: metric.worst for metric in self.metrics}
        for key, array in arrays.items():
            metric, _, view = key.partition("/")
            worst: Any = {"rank": self.size_of(view), "reid_auc": 0.0}.get(metric, np.nan)
            if array.dtype == bool:
                worst = bool(worst_of[metric])
            arrays[key] = np.where(failed, worst, array).astype(array.dtype)
        return {**arrays, "failed": failed}


def _views(judges: Sequence[Judge]) -> tuple[str, ...]:
    return (MAIN, *TREATMENTS, *(judge.name for judge in judges[1:]))


def _batches(count: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _run_judges(judges: Sequence[Judge], images: Images, collectors: Mapping[str, OutputsCollector]) -> None:
    first, *others = judges
    collectors[MAIN].add(first, images)
    for view, treat in TREATMENTS.items():
        collectors[view].add(first, treat(images))
    for judge in others:
        collectors[judge.name].add(judge, images)


def keyed(metric: str, view: str) -> str:
    """Return the name of a per-image array: "<metric>" or "<metric>/<view>"."""
    return f"{metric}/{view}" if view else metric


def gallery_view(size: int) -> str:
    """Return the name under which the ranks in a smaller gallery stand."""
    return f"gallery {size}"


def _sound(images: Images, shape: tuple[int, ...], name: str) -> tuple[Images, Bool[np.ndarray, " B"]]:
    """Return the images as 8-bit files would hold them, and which are none: not finite, or not in [0, 1]."""
    if tuple(images.shape) != shape:
        raise BadInput(f"{name}: expected reconstructions of shape {shape}, got {tuple(images.shape)}")
    images = images.detach().float().cpu()
    flat = images.flatten(1)
    good = flat.isfinite().all(dim=1) & (flat.amin(dim=1) >= -SLACK) & (flat.amax(dim=1) <= 1 + SLACK)
    return rounded(torch.where(good[:, None, None, None], images, 0.0)), ~good.numpy()
