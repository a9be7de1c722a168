"""A generator of the user's own as an attack: an adapter from vectors to what the generator is conditioned on."""

from collections.abc import Callable
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from featinv.attacks.checks import check_features
from featinv.attacks.leave_one_out import ridge_by_leave_one_out
from featinv.attacks.passes import feature_moments, pair_blocks
from featinv.attacks.sampling import Samples, check_sampling, low_pass, medoid, row_generator
from featinv.errors import BadInput
from featinv.types import Features, Images, PairsLike


@runtime_checkable
class Prior(Protocol):
    """A pipeline that draws images from a condition: unCLIP, IP-Adapter, an RAE decoder, RCDM, or one of your own.

    `condition` maps images (B, 3, S, S) in [0, 1] to (B, C), as its own image encoder does. `sample` draws n images
    (n, 3, H, W) in [0, 1] from one condition (C,), from the generator only. `guidance` is 1 where samples are drawn
    without guidance; `licence` names that of its weights.
    """

    guidance: float
    licence: str

    def condition(self, images: Any, /) -> Any: ...

    def sample(self, condition: Any, n: int, generator: torch.Generator, /) -> Any: ...


@final
class PriorAttack:
    """features -> samples of a generator, a `Prior`, whose condition is predicted from the vector.

    `fit` learns the adapter, ridge regression (penalty by leave-one-out) from vectors to the prior's conditions of the
    public images. `sample` gives what the prior draws, resized to the pairs' images; `reconstruct` the medoid of
    `draws` of them in the colours of 8 x 8 cells, or in `space` (a surrogate: images -> features). The prior's own
    images are no part of the vector: test it with `fi.evaluation.calibrate` before any detail is believed. It cannot be
    saved, because the prior is not ours: fit it again, which takes one pass.

    Raises BadInput for a prior without the methods of `Prior`, and for conditions or images of another form or with
    NaN, naming the image.
    """

    kind = "attack"

    def __init__(
        self, prior: Any, *, draws: int = 8, space: Callable[[Tensor], Tensor] | None = None, seed: int = 0
    ) -> None:
        missing = [name for name in ("guidance", "licence", "condition", "sample") if not hasattr(prior, name)]
        if missing:
            raise BadInput(f"prior: expected one with {missing[0]!r}, got {type(prior).__name__} without; add it")
        if draws < 1:
            raise BadInput(f"PriorAttack: expected draws of at least 1, got {draws}")
        self.prior, self.draws, self.seed = prior, draws, seed
        self.space = low_pass if space is None else space
        self.feature_shape: tuple[int, ...] = ()
        self.image_size = 0
        self.victim: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return f"PriorAttack({type(self.prior).__name__}, licence {self.prior.licence}, draws={self.draws})"

    @property
    def guidance(self) -> float:
        """The prior's: a calibration refuses any but 1."""
        return float(self.prior.guidance)

    @property
    def parameters(self) -> int:
        """Those of the adapter; 0 before `fit`."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @torch.no_grad()
    def fit(self, pairs: PairsLike) -> "PriorAttack":
        """Learn the adapter from public pairs; a second call starts anew."""
        moments = feature_moments(pairs)
        size = int(pairs.image_size)
        rows, conditions = [], []
        for start, features, images in pair_blocks(pairs, "prior"):
            rows.append((features - moments.mean) / moments.scale)
            conditions.append(self._condition(images.unflatten(1, (3, size, size)), start))
        fitted = ridge_by_leave_one_out(torch.cat(rows), torch.cat(conditions))
        self.tensors = {"mean": moments.mean, "scale": moments.scale, "weight": fitted.weight, "bias": fitted.bias}
        self.feature_shape, self.image_size = tuple(pairs.feature_shape), size
        self.victim = dict(pairs.metadata)
        return self

    def sample(self, features: Features, k: int, seed: int, *, first_row: int = 0) -> Samples:
        """Draw k images (B, k, 3, S, S) of each vector: a function of it, the seed, and its row's number.

        Raises BadInput before `fit`, for vectors of another shape or with NaN, and for more samples than memory holds.
        """
        return self._draw(features, k, seed, [first_row + row for row in range(len(features))])

    def reconstruct(self, features: Features) -> Images:
        """Return the medoid (B, 3, S, S) of samples whose generators all start alike; raises BadInput as `sample`."""
        return medoid(self._draw(features, self.draws, self.seed, [0] * len(features)), self.space)

    @torch.no_grad()
    def _draw(self, features: Features, k: int, seed: int, numbers: list[int]) -> Samples:
        if not self.tensors:
            raise BadInput("PriorAttack: expected a fitted attack, got one before fit(pairs); fit it first")
        vectors = check_features(features, self.feature_shape).flatten(1)
        check_sampling(len(vectors), k, seed, self.image_size)
        t = self.tensors
        conditions = torch.addmm(t["bias"], (vectors - t["mean"]) / t["scale"], t["weight"])
        samples = torch.empty(len(vectors), k, 3, self.image_size, self.image_size)
        for row, (condition, number) in enumerate(zip(conditions, numbers, strict=True)):
            samples[row] = self._images(self.prior.sample(condition, k, row_generator(seed, number)), k, row)
        return samples.to(features.device)

    def _condition(self, images: Images, start: int) -> Float[Tensor, "B C"]:
        conditions = self.prior.condition(images)
        if not isinstance(conditions, Tensor) or conditions.ndim != 2 or len(conditions) != len(images):
            got = tuple(conditions.shape) if isinstance(conditions, Tensor) else type(conditions).__name__
            raise BadInput(f"prior.condition: expected ({len(images)}, C) numbers, got {got}; flatten them")
        finite = conditions.isfinite().all(1)
        if not bool(finite.all()):
            row = start + int(np.argmin(finite.cpu().numpy()))
            raise BadInput(f"prior.condition: expected finite numbers, got NaN or infinity for image {row}")
        return conditions.float().cpu()

    def _images(self, images: Any, k: int, row: int) -> Images:
        if not isinstance(images, Tensor) or images.ndim != 4 or tuple(images.shape[:2]) != (k, 3):
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise BadInput(f"prior.sample: expected images ({k}, 3, H, W), got {got} for vector {row}")
        images = images.float().cpu()
        if not bool(((images >= 0) & (images <= 1)).all()):
            raise BadInput(f"prior.sample: expected numbers in [0, 1], got NaN or others for vector {row}")
        size = (self.image_size, self.image_size)
        if tuple(images.shape[2:]) == size:
            return images
        # Smoothing a larger image can ring past [0, 1] by rounding only.
        return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
