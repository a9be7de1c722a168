"""Shapes and arrows: the vocabulary that every package shares.

One pixel convention at every border: RGB, float32, [0, 1], (B, 3, H, W). One feature convention: (B, D) or
(B, C, H, W), float32, as released. Shapes are checked while testing only (jaxtyping's import hook with beartype).
"""

from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Images: TypeAlias = Float[Tensor, "B 3 H W"]
Features: TypeAlias = Float[Tensor, " B *F"]
PerImage: TypeAlias = Float[Tensor, " B"]


@runtime_checkable
class Encoder(Protocol):
    """images -> features: a frozen network cut at a layer; resizes and normalises inside itself, differentiably."""

    name: str
    family: str
    feature_shape: tuple[int, ...]
    image_size: int
    fingerprint: str

    def __call__(self, images: Any, /) -> Any: ...


@runtime_checkable
class Judge(Protocol):
    """images -> (features (B, D), logits (B, K)): an independent network that only ever scores."""

    name: str
    family: str
    trained_on: str
    fingerprint: str

    def __call__(self, images: Any, /) -> Any: ...


@runtime_checkable
class Attack(Protocol):
    """features -> images: anything that reconstructs, fitted on public pairs.

    `kind` is "control" or "attack"; `parameters` counts the numbers that fitting determined.
    """

    @property
    def kind(self) -> str: ...

    @property
    def parameters(self) -> int: ...

    def fit(self, pairs: Any, /) -> Any: ...

    def reconstruct(self, features: Any, /) -> Any: ...
