"""A judge's view of images, batch by batch, on whatever device the judge stands."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import nn

from featinv.block_sizes import rows_at_once
from featinv.errors import BadInput
from featinv.types import Images, Judge


@dataclass(frozen=True)
class JudgeOutputs:
    """What a judge said about N images: its features and the class it gave to each."""

    features: Float32[np.ndarray, "N D"]
    labels: Int64[np.ndarray, " N"]

    def take(self, order: Int64[np.ndarray, " M"]) -> "JudgeOutputs":
        """Return the rows in another order."""
        return JudgeOutputs(self.features[order], self.labels[order])


class OutputsCollector:
    """Collects what a judge says of one batch after the other, of `count` images in all."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._filled = 0
        self._outputs: JudgeOutputs | None = None

    def add(self, judge: Judge, images: Images) -> None:
        """Show the judge a batch and keep its features and labels.

        Raises BadInput when the judge does not answer with (features (B, D), logits (B, K)).
        """
        batch = look(judge, images)
        if self._outputs is None:
            # All at once: small arrays kept between large temporaries leave the heap full of holes (53 kB an image).
            width = batch.features.shape[1]
            features = np.empty((self._count, width), dtype=np.float32)
            self._outputs = JudgeOutputs(features, np.empty(self._count, dtype=np.int64))
        rows = slice(self._filled, self._filled + len(images))
        self._outputs.features[rows], self._outputs.labels[rows] = batch.features, batch.labels
        self._filled += len(images)

    def done(self) -> JudgeOutputs:
        """Return all batches as one. Raises RuntimeError unless every image was judged exactly once."""
        if self._outputs is None or self._filled != self._count:
            raise RuntimeError(f"judge: scored {self._filled} of {self._count} images; every image counts exactly once")
        return self._outputs


def look(judge: Judge, images: Images) -> JudgeOutputs:
    """Return the judge's features (float32) and labels (argmax of its logits) for one batch, on a CPU in blocks."""
    images = images.to(device_of(judge))
    with torch.no_grad():
        blocks = images.split(rows_at_once(judge, images, most=max(1, len(images))))
        seen = [_look_at_block(judge, block) for block in blocks]
    if len(seen) == 1:
        return seen[0]
    return JudgeOutputs(np.concatenate([one.features for one in seen]), np.concatenate([one.labels for one in seen]))


def _look_at_block(judge: Judge, images: Images) -> JudgeOutputs:
    answer = judge(images)
    if not (isinstance(answer, tuple) and len(answer) == 2 and all(part.ndim == 2 for part in answer)):
        raise BadInput(f"judges: {judge.name!r} must answer (features (B, D), logits (B, K)); got {_shape(answer)}")
    features, logits = answer
    if len(features) != len(images) or len(logits) != len(images):
        raise BadInput(f"judges: {judge.name!r} answered {len(features)} rows to {len(images)} images")
    return JudgeOutputs(features.float().cpu().numpy(), logits.argmax(dim=1).cpu().numpy())


def feature_cosines(made: JudgeOutputs, original: JudgeOutputs) -> Float32[np.ndarray, " N"]:
    """Return the cosine of the judge's raw features, row by row; 0 where one of them has no length."""
    one, two = made.features.astype(np.float64), original.features.astype(np.float64)
    length = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    product = (one * two).sum(axis=1)
    return np.divide(product, length, out=np.zeros_like(product), where=length > 0).astype(np.float32)


def device_of(network: object) -> torch.device:
    """Return where a network's parameters stand; the CPU for a plain callable."""
    if isinstance(network, nn.Module):
        for parameter in network.parameters():
            return parameter.device
    return torch.device("cpu")


def _shape(answer: object) -> str:
    parts = answer if isinstance(answer, tuple) else (answer,)
    return ", ".join(str(tuple(getattr(part, "shape", ()))) or type(part).__name__ for part in parts)
