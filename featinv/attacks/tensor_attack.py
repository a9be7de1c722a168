"""The frame of the attacks whose whole fitted state is a handful of tensors (all but the trained decoder)."""

from abc import ABC, abstractmethod
from typing import Any, TypeVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from featinv import configuration
from featinv.attacks.checks import Layout, check_features, check_tensors
from featinv.attacks.passes import rows_that_fit
from featinv.errors import BadInput
from featinv.types import Features, Images, PairsLike

# Not typing.Self, which the shape checks of the tests cannot read.
Fitted = TypeVar("Fitted", bound="TensorAttack")


class TensorAttack(ABC):
    """features (B, *F) -> images (B, 3, S, S), determined by named tensors that `fit` computes from public pairs.

    Everything is computed on the CPU in fixed blocks; a reconstruction depends on its own vector only. `chosen` holds
    the options that `fit` chose itself, on held-out public pairs.
    """

    kind: str = "attack"

    def __init__(self) -> None:
        self.feature_shape: tuple[int, ...] = ()
        self.image_size: int = 0
        self.victim: dict[str, Any] = {}
        self.chosen: dict[str, float] = {}
        self.tensors: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        arguments = configuration.describe(self)["args"]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"

    @property
    def parameters(self) -> int:
        """How many numbers fitting determined; 0 before."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @final
    def fit(self: Fitted, pairs: PairsLike) -> Fitted:
        """Learn from public pairs; a second call starts anew. Raises BadInput when the pairs cannot serve for that."""
        if len(pairs) == 0:
            raise BadInput(f"pairs: expected at least one pair to fit {type(self).__name__} on, got none")
        self.tensors = self._learn(pairs)
        self.feature_shape = tuple(pairs.feature_shape)
        self.image_size = int(pairs.image_size)
        self.victim = dict(pairs.metadata)
        return self

    @final
    @torch.no_grad()
    def reconstruct(self, features: Features) -> Images:
        """Reconstruct the images (B, 3, S, S) in [0, 1] of the vectors (B, *F), on the device of the vectors.

        Raises BadInput before `fit`, for vectors of another shape, and for NaN or infinity (naming the row).
        """
        self._demand_fitted()
        rows = check_features(features, self.feature_shape).flatten(1)
        images = torch.empty(len(rows), 3, self.image_size, self.image_size)
        step = rows_that_fit(rows.shape[1] + images[:1].numel() if len(images) else 1)
        for start in range(0, len(rows), step):
            images[start : start + step] = self._decode(rows[start : start + step]).clamp_(0, 1)
        return images.to(features.device)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `from_state` needs: a JSON-able configuration and the tensors. Raises BadInput before `fit`."""
        if not self.tensors:
            raise BadInput(f"{type(self).__name__}: expected a fitted attack to save, got one before fit(pairs)")
        config = {
            "args": configuration.describe(self)["args"],
            "chosen": self.chosen,
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
        }
        return config, dict(self.tensors)

    @classmethod
    def from_state(cls: type[Fitted], config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> Fitted:
        """Rebuild a fitted attack; raises BadInput when the tensors are not those of this attack."""
        attack = cls(**config["args"])
        attack.chosen = {str(name): float(value) for name, value in config["chosen"].items()}
        attack.feature_shape = tuple(int(size) for size in config["feature_shape"])
        attack.image_size = int(config["image_size"])
        attack.victim = dict(config["victim"])
        check_tensors(tensors, attack._layout(torch.Size(attack.feature_shape).numel(), attack.image_size))
        attack.tensors = dict(tensors)
        return attack

    def _demand_fitted(self) -> None:
        if not self.tensors:
            raise BadInput(f"{type(self).__name__}: expected a fitted attack, got one before fit(pairs); fit it first")

    @abstractmethod
    def _learn(self, pairs: PairsLike) -> dict[str, Tensor]:
        """Return the tensors that fitting determines."""

    @abstractmethod
    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        """Reconstruct one block of flat vectors; the caller clamps to [0, 1]."""

    @abstractmethod
    def _layout(self, width: int, size: int) -> Layout:
        """Return the type and shape of every tensor, for vectors of `width` numbers and images of `size` pixels."""
