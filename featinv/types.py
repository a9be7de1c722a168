"""Shapes and arrows: the vocabulary that every package shares.

One pixel convention at every border: RGB, float32, [0, 1], (B, 3, H, W). One feature convention: (B, D) or
(B, C, H, W), float32, as released. Shapes are checked while testing only (jaxtyping's import hook with beartype).
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
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


RELEASE_VIEW = 2
"""The stream of a defence's draws for a release: pairs use 0 and 1, and a release must never repeat the noise of the
attacker's pairs.
"""


@runtime_checkable
class Publisher(Protocol):
    """images -> features as released: what extraction asks of a victim."""

    feature_shape: tuple[int, ...]

    @property
    def name(self) -> str: ...

    @property
    def metadata(self) -> dict[str, Any]: ...

    @property
    def device(self) -> torch.device: ...

    def publish(
        self,
        images: Any,
        block: npt.ArrayLike,
        *,
        seed: int,
        block_number: int,
        view: int = 0,
        flip: bool = False,
        batch_size: int = 256,
        progress: Callable[[int], object] | None = None,
    ) -> np.ndarray: ...

    def publish_all(
        self,
        images: Any,
        *,
        seed: int,
        block: int,
        view: int = 0,
        flip: bool = False,
        batch_size: int = 256,
        progress: Callable[[int], object] | None = None,
    ) -> np.ndarray: ...

    def of_images(self, images: Any, rows: npt.ArrayLike, *, flip: Any = None) -> Any: ...

    def __call__(self, images: Any, /) -> Any: ...


@runtime_checkable
class PairsLike(Protocol):
    """N public images and their features: what attacks are fitted on (`featinv.Pairs`).

    `batch` gives (features (B, *F), images (B, 3, S, S) in [0, 1]) at indices, mirrored where `flip` says so, which
    needs two `views`; `features` gives the features alone, `take` the pairs at indices. `labels` are (N,) or None;
    `metadata` describes the victim.
    """

    @property
    def feature_shape(self) -> tuple[int, ...]: ...

    @property
    def image_size(self) -> int: ...

    @property
    def views(self) -> int: ...

    @property
    def labels(self) -> Any: ...

    @property
    def images(self) -> Any: ...

    @property
    def metadata(self) -> dict[str, Any]: ...

    def __len__(self) -> int: ...

    def batch(self, indices: npt.ArrayLike, flip: npt.ArrayLike | None = None, /) -> tuple[Any, Any]: ...

    def features(self, indices: npt.ArrayLike, /) -> np.ndarray: ...

    def take(self, indices: npt.ArrayLike, /) -> "PairsLike": ...


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


@runtime_checkable
class SamplesLike(Protocol):
    """features (B, *F) -> samples (B, k, 3, S, S) in [0, 1]: an attack that draws from p(image | vector).

    Row r of the features is row `first_row` + r of the release, and its samples are a function of its vector, of `seed`
    and of that number only: blocks of any size give the same samples. Samples of a vector are independent of each
    other given the vector.
    """

    def sample(self, features: Any, k: int, seed: int, *, first_row: int = 0) -> Any: ...
