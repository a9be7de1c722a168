"""What is measured on every reconstruction, and how one attack's pass over the release is made."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.columns import WITHIN_CLASS, normalised, within_view
from featinv.evaluation.judging import Notebook, Seen
from featinv.evaluation.picture_store import PictureStore
from featinv.evaluation.reidentification import ranks, ranks_within
from featinv.evaluation.treatments import TREATMENTS
from featinv.metrics import low_pass_psnr, mse, psnr, ssim
from featinv.metrics.value_range import SLACK, rounded
from featinv.types import Images, Judge, PerImage

PerPicture = dict[str, np.ndarray]
"""Arrays of N numbers, keyed "<metric>" for the first judge and the whole gallery, else "<metric>/<view>"."""

MAIN = ""
_PIXELS = 2**22
"""Pixels of the largest batch (48 MiB in float32): a batch that suits 32 px would not fit at 256 px."""
PictureMetric = Callable[[Images, Images], PerImage]
PIXEL: dict[str, PictureMetric] = {"mse": mse, "psnr": psnr, "ssim": ssim, "low_pass_psnr": low_pass_psnr}


@dataclass(frozen=True)
class Pass:
    """One unpadded, unshuffled pass of an attack over the release."""

    name: str
    pictures: PictureStore
    seen: dict[str, Seen]
    without: frozenset[str]
    failed: Bool[np.ndarray, " N"]
    seconds: float


class Panel:
    """Everything that scoring one attack needs, prepared once: what the judges say of the originals.

    Batches hold at most `batch_size` pictures, fewer when these are large. `reconstruct` below is any callable from row
    numbers to pictures (B, 3, S, S) in [0, 1]. Raises BadInput for a batch of none.
    """

    def __init__(
        self,
        truth: ImageSet,
        judges: Sequence[Judge],
        *,
        galleries: Sequence[int] = (),
        seed: int = 0,
        batch_size: int = 256,
        pictures: Mapping[str, PictureMetric] | None = None,
        tick: Callable[[int], object] = lambda done: None,
    ) -> None:
        if batch_size < 1:
            raise BadInput(f"batch_size: expected at least 1, got {batch_size}")
        self.truth = truth
        self.judges = tuple(judges)
        self.galleries = tuple(galleries)
        self.seed = seed
        self.metrics = {**PIXEL, **(pictures or {})}
        self.batch_size = max(1, min(batch_size, _PIXELS // truth.size**2))
        self.tick = tick
        books = {view: Notebook(len(truth)) for view in self.views}
        for rows in self._batches():
            self._look(truth.batch(rows), books)
            tick(len(rows))
        looked = {view: book.done() for view, book in books.items()}
        self.treated_originals = {view: looked[view] for view in TREATMENTS}
        # A treated reconstruction is still compared with the untouched original.
        self.originals = {view: looked[MAIN if view in TREATMENTS else view] for view in looked}
        self.classes = looked[MAIN].labels if truth.labels is None else truth.labels
        _, member, counts = np.unique(self.classes, return_inverse=True, return_counts=True)
        self.class_sizes: Int64[np.ndarray, " N"] = counts[member]

    @property
    def views(self) -> tuple[str, ...]:
        """The ways a reconstruction is looked at: by the first judge, treated, and by each other judge."""
        return (MAIN, *TREATMENTS, *(judge.name for judge in self.judges[1:]))

    def size_of(self, view: str) -> int | Int64[np.ndarray, " N"]:
        """Return how many candidates the gallery of a view holds; of the class of each picture, within classes."""
        if view.startswith(WITHIN_CLASS):
            return self.class_sizes
        return next((size for size in self.galleries if view == gallery_view(size)), len(self.truth))

    def run(
        self,
        name: str,
        reconstruct: Callable[[np.ndarray], Images],
        pictures: PictureStore,
        *,
        without: frozenset[str] = frozenset(),
    ) -> Pass:
        """Reconstruct every vector once and let every judge look; what is no picture is marked as failed.

        `without` names metrics of pictures that are not to judge this attack.
        """
        books = {view: Notebook(len(self.truth)) for view in self.views}
        failed, seconds = [], 0.0
        for rows in self._batches():
            begin = time.perf_counter()
            images = reconstruct(rows)
            seconds += time.perf_counter() - begin
            sound, bad = _sound(images, (len(rows), 3, self.truth.size, self.truth.size), name)
            pictures.append(sound)
            self._look(sound, books)
            failed.append(bad)
            self.tick(len(rows))
        if pictures.count != len(self.truth):
            raise BadInput(f"{name}: scored {pictures.count} reconstructions of {len(self.truth)} pictures")
        seen = {view: book.done() for view, book in books.items()}
        return Pass(name, pictures, seen, without, np.concatenate(failed), seconds)

    def score(
        self, result: Pass, *, order: Int64[np.ndarray, " N"] | None = None, views: Sequence[str] | None = None
    ) -> PerPicture:
        """Return every number of every picture; with `order`, reconstruction order[i] is held against original i."""
        order = np.arange(len(self.truth)) if order is None else order
        arrays = self._pixels(result, order)
        for view in self.views if views is None else views:
            seen, original = result.seen[view].take(order), self.originals[view]
            arrays[keyed("judge_cosine", view)] = _cosines(seen.features, original.features)
            arrays[keyed("judge_agreement", view)] = seen.labels == original.labels
            arrays[keyed("rank", view)] = ranks(seen.features, original.features).astype(np.int32)
            inside = ranks_within(seen.features, original.features, self.classes).astype(np.int32)
            if view == MAIN:
                arrays[keyed("rank", WITHIN_CLASS)] = inside
            arrays[keyed("reid_auc", within_view(view))] = normalised(inside, self.class_sizes).astype(np.float32)
        if views is None:
            features = result.seen[MAIN].features[order]
            arrays.update(self.gallery_ranks(features, self.originals[MAIN].features))
        return self._mark_failed(arrays, result.failed[order])

    def agreement(self, result: Pass, order: Int64[np.ndarray, " N"]) -> PerPicture:
        """Return, for every view but the plain one, whether reconstruction order[i] gets the label of original i."""
        views = [view for view in self.views if view != MAIN]
        same = {view: result.seen[view].take(order).labels == self.originals[view].labels for view in views}
        return {view: seen & ~result.failed[order] for view, seen in same.items()}

    def gallery_ranks(self, features: np.ndarray, candidates: np.ndarray, *, whole: bool = False) -> PerPicture:
        """Return the ranks in each of the smaller galleries, and with `whole` in the whole one too."""
        sizes = {gallery_view(size): size for size in self.galleries} | ({MAIN: len(self.truth)} if whole else {})
        return {
            keyed("rank", view): ranks(features, candidates, size=size, seed=self.seed).astype(np.int32)
            for view, size in sizes.items()
        }

    def label_chance(self) -> dict[str, float]:
        """Return, for every view, the best agreement without any vector: the share of the commonest label."""
        return {
            view: float(np.unique(seen.labels, return_counts=True)[1].max() / len(self.truth))
            for view, seen in self.originals.items()
        }

    def _batches(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.truth), self.batch_size):
            yield np.arange(start, min(start + self.batch_size, len(self.truth)))

    def _look(self, images: Images, books: Mapping[str, Notebook]) -> None:
        first, *others = self.judges
        books[MAIN].add(first, images)
        for view, treat in TREATMENTS.items():
            books[view].add(first, treat(images))
        for judge in others:
            books[judge.name].add(judge, images)

    def _pixels(self, result: Pass, order: np.ndarray) -> PerPicture:
        used = {name: metric for name, metric in self.metrics.items() if name not in result.without}
        columns: dict[str, list[np.ndarray]] = {name: [] for name in used}
        for rows in self._batches():
            originals, images = self.truth.batch(rows), result.pictures.batch(order[rows])
            for name, metric in used.items():
                columns[name].append(metric(images, originals).numpy())
        return {name: np.concatenate(column) for name, column in columns.items()}

    def _mark_failed(self, arrays: PerPicture, failed: np.ndarray) -> PerPicture:
        if not failed.any():
            return arrays
        for key, array in arrays.items():
            metric, _, view = key.partition("/")
            worst = {"rank": self.size_of(view), "judge_agreement": False, "reid_auc": 0.0}.get(metric, np.nan)
            arrays[key] = np.where(failed, worst, array).astype(array.dtype)
        return {**arrays, "failed": failed}


def keyed(metric: str, view: str) -> str:
    """Return the name of a per-picture array: "<metric>" or "<metric>/<view>"."""
    return f"{metric}/{view}" if view else metric


def gallery_view(size: int) -> str:
    """Return the name under which the ranks in a smaller gallery stand."""
    return f"gallery {size}"


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of the raw features, row by row; 0 where one of them has no length."""
    one, two = first.astype(np.float64), second.astype(np.float64)
    length = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    product = (one * two).sum(axis=1)
    return np.divide(product, length, out=np.zeros_like(product), where=length > 0).astype(np.float32)


def _sound(images: Images, shape: tuple[int, ...], name: str) -> tuple[Images, Bool[np.ndarray, " B"]]:
    """Return the pictures as 8-bit files would hold them, and which are none: not finite, or not in [0, 1]."""
    if tuple(images.shape) != shape:
        raise BadInput(f"{name}: expected reconstructions of shape {shape}, got {tuple(images.shape)}")
    images = images.detach().float().cpu()
    flat = images.flatten(1)
    good = flat.isfinite().all(dim=1) & (flat.amin(dim=1) >= -SLACK) & (flat.amax(dim=1) <= 1 + SLACK)
    return rounded(torch.where(good[:, None, None, None], images, 0.0)), ~good.numpy()
