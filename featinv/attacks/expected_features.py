"""What surrogates should see of an original, by its vector: shared by the attacks that refine at test time."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featinv.attacks.checks import check_positive, check_tensors
from featinv.attacks.leave_one_out import ridge_by_leave_one_out
from featinv.encoders import Encoder
from featinv.encoders.judge_files import encoder_from_state, encoder_state
from featinv.errors import BadInput
from featinv.losses import public_features, residual_whitener
from featinv.losses.random_views import box_blur, half_box
from featinv.training.bank import judges_family
from featinv.types import PairsLike

MOST_PAIRS = 20_000
SHIFT, _NOISE = 0.125, 0.06
_TENSORS = ("weight", "bias", "whitener", "centre", "public")


class Expected(NamedTuple):
    """A surrogate with the linear prediction of its features from standardised vectors, and what that leaves over."""

    surrogate: Encoder
    weight: Tensor
    bias: Tensor
    whitener: Tensor
    centre: Tensor
    public: Tensor

    def distance(self, images: Tensor, vectors: Tensor) -> Tensor:
        """(B,) squared distances to what the standardised vectors (B, D) predict, whitened by what they leave over."""
        device = self.surrogate.mean.device
        left = self.surrogate.unchecked(images.to(device)).flatten(1) - self._wanted(vectors).to(device)
        return (left @ self.whitener.to(device).T).square().mean(1).cpu()

    def surprise(self, images: Tensor, vectors: Tensor, tau: float) -> Tensor:
        """(B,) nats: -log softmax of the cosine with the predicted features among those of all public images."""
        device = self.surrogate.mean.device
        centre, public = self.centre.to(device), self.public.to(device)
        made = F.normalize(self.surrogate.unchecked(images.to(device)).flatten(1) - centre, dim=1)
        wanted = F.normalize(self._wanted(vectors).to(device) - centre, dim=1)
        logits = torch.cat([(made * wanted).sum(1, keepdim=True), made @ public.T], 1) / tau
        return (logits.logsumexp(1) - logits[:, 0]).cpu()

    def _wanted(self, vectors: Tensor) -> Tensor:
        return torch.addmm(self.bias, vectors, self.weight)

    @property
    def numbers(self) -> int:
        """How many numbers were learned."""
        return self.weight.numel() + self.bias.numel()


def learn_expected(
    surrogates: Sequence[Encoder], pairs: PairsLike, vectors: Tensor, rows: np.ndarray
) -> tuple[Expected, ...]:
    """Learn each surrogate's prediction from standardised vectors (N, D) of the public pairs at `rows`."""
    chosen = pairs.take(rows)
    expected = []
    for surrogate in surrogates:
        features = public_features(surrogate, chosen.images)
        ridge = ridge_by_leave_one_out(vectors, features)
        whitener = residual_whitener(features.numpy(), vectors.numpy())
        centre = features.mean(0)
        public = F.normalize(features - centre, dim=1)
        expected.append(Expected(surrogate, ridge.weight, ridge.bias, whitener, centre, public))
    return tuple(expected)


def rows_to_learn_from(pairs: PairsLike, seed: int) -> np.ndarray:
    """Return at most 20,000 rows of the pairs, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(len(pairs))[:MOST_PAIRS])


def expected_state(expected: Sequence[Expected]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Return the surrogates' metadata, and all tensors by the number of the surrogate."""
    surrogates: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, member in enumerate(expected):
        metadata, weights = encoder_state(member.surrogate)
        surrogates.append(metadata)
        tensors |= {f"{number}.encoder.{name}": tensor for name, tensor in weights.items()}
        tensors |= {f"{number}.{name}": getattr(member, name) for name in _TENSORS}
    return surrogates, tensors


def expected_from_state(surrogates: list[dict[str, Any]], tensors: dict[str, Tensor], inside: int) -> list[Expected]:
    """Rebuild what `expected_state` returned, for vectors of `inside` dimensions; raises BadInput for other tensors."""
    expected = []
    for number, metadata in enumerate(surrogates):
        own = under(f"{number}.", tensors)
        surrogate = encoder_from_state(metadata, under("encoder.", own))
        kept = {name: tensor for name, tensor in own.items() if not name.startswith("encoder.")}
        width = math.prod(surrogate.feature_shape)
        shapes: dict[str, tuple[int | str, ...]] = {"weight": (inside, width), "whitener": (width, width)}
        shapes |= {"bias": (width,), "centre": (width,), "public": ("pairs", width)}
        check_tensors(kept, {name: (torch.float32, shape) for name, shape in shapes.items()})
        expected.append(Expected(surrogate, **kept))
    return expected


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def common_view(images: Tensor, dice: torch.Generator, shift: int | float = SHIFT) -> Tensor:
    """The same shift, low-pass and noise for all images, edges repeated: no result depends on the batch."""
    size = images.shape[-1]
    most = round(shift * size)
    if most:
        left, top = torch.randint(0, 2 * most + 1, (2,), generator=dice).tolist()
        padded = F.pad(images, (most, most, most, most), mode="replicate")
        images = padded[:, :, top : top + size, left : left + size]
    blurred, strength = torch.rand(2, generator=dice).tolist()
    if blurred < 0.5:
        images = box_blur(images, half_box(size))
    return (images + _NOISE * strength * torch.randn(images.shape[1:], generator=dice)).clamp(0, 1)


def check_steps(steps: int, lr: int | float, penalty: int | float) -> None:
    """Raise BadInput for settings of an optimisation that cannot be used."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise BadInput(f"steps: expected a whole number of at least 1, got {steps!r}")
    check_positive("lr", lr)
    if not (math.isfinite(penalty) and penalty >= 0):
        raise BadInput(f"penalty: expected a finite number of at least 0, got {penalty}")


def check_surrogates(attack: str, surrogates: Sequence[Encoder], held_out: Encoder | None) -> None:
    """Raise BadInput for no surrogate, one that is held out and looked through, and one of a judge's family."""
    if not surrogates:
        raise BadInput(f"{attack}: expected at least one surrogate to look through, got none; distil some")
    if held_out is not None and held_out.weights_fingerprint in {each.weights_fingerprint for each in surrogates}:
        raise BadInput(
            f"held_out: expected a surrogate that is none of those looked through, got {held_out.name} again; keep one "
            "of the bank back"
        )
    for surrogate in (*surrogates, held_out):
        if surrogate is not None and (family := judges_family(surrogate)):
            raise BadInput(
                f"{attack}: {surrogate.name} is of the family {family!r}, of which judges are made; take "
                "surrogates of other families"
            )
