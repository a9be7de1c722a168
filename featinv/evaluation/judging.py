"""One pass of an attack: reconstructions are stored, treated for the robustness views, and judged."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float32, Int64
from PIL import Image
from torch import nn
from torch.nn import functional

from featinv.block_sizes import rows_at_once
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.types import Images, Judge


class ImageStore:
    """Images as 8-bit rows of an unnamed temporary file, appended in order and read back in any order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self._file = tempfile.TemporaryFile(prefix="featinv-")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> "ImageStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, images: Images) -> None:
        """Add a batch. Raises BadInput when the temporary folder is full."""
        try:
            self._file.write(as_uint8(images).tobytes())
            self._file.flush()
        except OSError as error:
            raise BadInput(
                f"{tempfile.gettempdir()}: cannot hold the reconstructions while they are scored ({error.strerror}); "
                "free some space, or let TMPDIR name a folder that has it"
            ) from error
        self.count += len(images)

    def batch(self, indices: np.ndarray) -> Images:
        """Return the images at `indices` as float32 in [0, 1], (B, 3, S, S)."""
        rows = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(self.count, self.size, self.size, 3))
        return torch.from_numpy(rows[indices]).permute(0, 3, 1, 2).float().div(255)


QUALITY = 75


def low_pass(images: Images) -> Images:
    """Return the images at half their resolution: 2 x 2 means, then bilinear back to the old size."""
    height, width = images.shape[2:]
    small = functional.interpolate(images, size=(max(1, height // 2), max(1, width // 2)), mode="area")
    return functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)


def jpeg_75(images: Images) -> Images:
    """Return the images after JPEG at quality 75 (Pillow's defaults: 4:2:0 colour), decoded again."""
    coded = [_through_jpeg(image) for image in as_uint8(images)]
    return torch.from_numpy(np.stack(coded)).permute(0, 3, 1, 2).float().div(255)


def shift(images: Images) -> Images:
    """Return the images moved right and down by 1/32 of their size (at least 1 pixel), the edges repeated."""
    height, width = images.shape[2:]
    down, right = max(1, round(height / 32)), max(1, round(width / 32))
    padded = functional.pad(images, (right, 0, down, 0), mode="replicate")
    return padded[:, :, :height, :width]


def as_uint8(images: Images) -> np.ndarray:
    """Return (B, H, W, 3) bytes of images in [0, 1]."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _through_jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


TREATMENTS: dict[str, Callable[[Images], Images]] = {
    "low-pass": low_pass,
    f"jpeg {QUALITY}": jpeg_75,
    "shift": shift,
}


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
        batch = run_judge(judge, images)
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


def run_judge(judge: Judge, images: Images) -> JudgeOutputs:
    """Return the judge's features (float32) and labels (argmax of its logits) for one batch, on a CPU in blocks."""
    images = images.to(device_of(judge))
    with torch.no_grad():
        blocks = images.split(rows_at_once(judge, images, most=max(1, len(images))))
        outputs = [_run_judge_block(judge, block) for block in blocks]
    if len(outputs) == 1:
        return outputs[0]
    return JudgeOutputs(
        np.concatenate([output.features for output in outputs]), np.concatenate([output.labels for output in outputs])
    )


def _run_judge_block(judge: Judge, images: Images) -> JudgeOutputs:
    answer = judge(images)
    if not (isinstance(answer, tuple) and len(answer) == 2 and all(part.ndim == 2 for part in answer)):
        raise BadInput(f"judges: {judge.name!r} must answer (features (B, D), logits (B, K)); got {_shape(answer)}")
    features, logits = answer
    if len(features) != len(images) or len(logits) != len(images):
        raise BadInput(f"judges: {judge.name!r} answered {len(features)} rows to {len(images)} images")
    return JudgeOutputs(features.float().cpu().numpy(), logits.argmax(dim=1).cpu().numpy())


def judge_features(judge: Judge, images: ImageSet, batch_size: int) -> Float32[np.ndarray, "N D"]:
    """Return the judge's features of every image of a set."""
    collector = OutputsCollector(len(images))
    for start in range(0, len(images), batch_size):
        collector.add(judge, images.batch(np.arange(start, min(start + batch_size, len(images)))))
    return collector.done().features


def feature_cosines(reconstructed: JudgeOutputs, original: JudgeOutputs) -> Float32[np.ndarray, " N"]:
    """Return the cosine of the judge's raw features, row by row; 0 where one of them has no length."""
    ours, theirs = reconstructed.features.astype(np.float64), original.features.astype(np.float64)
    length = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    product = (ours * theirs).sum(axis=1)
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
