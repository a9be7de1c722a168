"""The control that feeds an attack vectors which say nothing."""

import hashlib
from typing import Any, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv import configuration
from featinv.attacks.checks import check_features, check_tensors
from featinv.attacks.passes import feature_moments
from featinv.errors import BadInput
from featinv.types import Attack, Features, Images

SOURCES = ("normal", "matched")
Fitted = TypeVar("Fitted", bound="RandomVector")


@final
class RandomVector:
    """features -> what a fitted attack makes of a random vector in their place: its prior, without the release.

    `source="normal"` draws N(0, 1) numbers, as in the paper; pooled features are never negative, so that these lie far
    from any image's. `source="matched"` draws normal numbers with the public mean and deviation of each dimension,
    clipped to its public minimum and maximum. The draw is keyed by `seed` and the bytes of the vector that it replaces,
    not by its row: a reconstruction neither changes with its batch mates nor with how the rows are split into batches,
    and two equal vectors get the same draw. `fit` only measures the public moments; `attack` must be fitted before.
    Raises BadInput for another source, and for an attack that is not fitted or is fitted on other features.
    """

    kind = "control"

    def __init__(self, attack: Attack, *, source: str = "normal", seed: int = 0) -> None:
        if source not in SOURCES:
            raise BadInput(f"source: expected normal or matched, got {source!r}")
        self.attack = attack
        self.source = source
        self.seed = seed
        self.feature_shape: tuple[int, ...] = ()
        self.image_size: int = 0
        self.victim: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return f"RandomVector({self.attack!r}, source={self.source!r}, seed={self.seed})"

    @property
    def parameters(self) -> int:
        """Those of the attack, and the public moments."""
        return self.attack.parameters + sum(tensor.numel() for tensor in self.tensors.values())

    def fit(self: Fitted, pairs: Any) -> Fitted:
        """Measure the public moments of each dimension. Raises BadInput unless the attack is fitted on such pairs."""
        inner = tuple(getattr(self.attack, "feature_shape", ()))
        if inner != tuple(pairs.feature_shape):
            raise BadInput(
                f"attack: expected one fitted on features of shape {tuple(pairs.feature_shape)}, got {self.attack!r} "
                f"{f'fitted on {inner}' if inner else 'before fit(pairs)'}; fit it on these pairs first"
            )
        moments = feature_moments(pairs)
        self.tensors = {"mean": moments.mean, "deviation": moments.deviation, "low": moments.low, "high": moments.high}
        self.feature_shape = inner
        self.image_size = int(pairs.image_size)
        self.victim = dict(pairs.metadata)
        return self

    def reconstruct(self, features: Features) -> Images:
        """Reconstruct the images (B, 3, S, S) of random vectors; `features` (B, *F) only key the draws."""
        if not self.tensors:
            raise BadInput("RandomVector: expected a fitted attack, got one before fit(pairs); fit it first")
        rows = check_features(features, self.feature_shape)
        drawn = self.draw(rows.flatten(1)).reshape(rows.shape).to(features.device)
        images: Images = self.attack.reconstruct(drawn)
        return images

    def draw(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Return the random vector that stands for each row."""
        drawn = torch.empty_like(rows)
        for number, row in enumerate(rows.contiguous().numpy()):
            key = hashlib.blake2b(row.tobytes(), digest_size=16, key=str(self.seed).encode()).digest()
            philox = np.random.Philox(key=np.frombuffer(key, dtype="<u8"))
            normal = np.random.Generator(philox).standard_normal(rows.shape[1], dtype=np.float32)
            drawn[number] = torch.from_numpy(normal)
        if self.source == "normal":
            return drawn
        t = self.tensors
        return (t["mean"] + t["deviation"] * drawn).clamp(t["low"], t["high"])

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the tensors, those of the attack within under `attack.`."""
        if not self.tensors:
            raise BadInput("RandomVector: expected a fitted attack to save, got one before fit(pairs)")
        inner_config, inner_tensors = self.attack.state()  # type: ignore[attr-defined]
        config = {
            "args": {"source": self.source, "seed": self.seed},
            "attack": {"class": configuration.public_path(type(self.attack)), "config": inner_config},
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
        }
        return config, self.tensors | {f"attack.{name}": tensor for name, tensor in inner_tensors.items()}

    @classmethod
    def from_state(cls: type[Fitted], config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> Fitted:
        """Rebuild it with the attack within; raises BadInput when the tensors are not theirs."""
        inner = {name.removeprefix("attack."): t for name, t in tensors.items() if name.startswith("attack.")}
        kind: Any = configuration.trusted_class(str(config["attack"]["class"]), allow)
        made = cls(kind.from_state(config["attack"]["config"], inner, allow), **config["args"])
        made.feature_shape = tuple(int(size) for size in config["feature_shape"])
        made.image_size = int(config["image_size"])
        if (made.feature_shape, made.image_size) != (tuple(made.attack.feature_shape), made.attack.image_size):  # type: ignore[attr-defined]
            raise BadInput(
                f"RandomVector: expected the shapes of {made.attack!r}, got {made.feature_shape} and {made.image_size}"
            )
        made.victim = dict(config["victim"])
        made.tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("attack.")}
        vector = (torch.float32, (torch.Size(made.feature_shape).numel(),))
        check_tensors(made.tensors, dict.fromkeys(("mean", "deviation", "low", "high"), vector))
        return made
