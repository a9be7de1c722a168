"""The attack on vectors of a space that is not the attacker's: align first, then reconstruct."""

from typing import Any, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv import configuration
from featinv.attacks.alignment import BANK_ROWS, Alignment, Rows, align_pairs, log_ranks
from featinv.attacks.checks import Layout, check_features, check_tensors
from featinv.attacks.unpaired_alignment import align_unpaired
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed
from featinv.types import Attack, Features, Images, PairsLike

MOST_OWN = 20_000
"""own vectors that are kept for the alignment, drawn by seed where there are more"""
LEAST_BESIDE = 1000
_ALIGNMENT = ("weight", "source", "target", "basis")
_RELEASE_KEYS = ("seed", "count", "private_fingerprint")
Fitted = TypeVar("Fitted", bound="Aligned")
Known = tuple[Float[np.ndarray, "_ ..."], Float[np.ndarray, "_ ..."]]


def align(
    released: Rows,
    own: Rows,
    known: Known | None = None,
    *,
    unpaired: Alignment | bool = True,
    seed: int = 0,
) -> Alignment:
    """Align the whole release (N, D) with own vectors of other images (M, E), as an attacker would.

    `known` holds the released and the own vectors of n images that the attacker recognises. Without it
    `align_unpaired` decides; with it `align_pairs`, unless the alignment without pairs ranks the known pairs higher
    than pairs that were left out rank, or as high and is identified. `unpaired` is such an alignment, or says whether
    to learn one beside the pairs (never from fewer than 1,000 vectors a side). Raises BadInput as those two do.
    """
    if known is None:
        return align_unpaired(released, own, seed=seed)
    paired = align_pairs(*known, released, own, seed=seed)
    if unpaired is False or (unpaired is True and min(len(released), len(own)) < LEAST_BESIDE):
        return paired
    free = align_unpaired(released, own, seed=seed) if unpaired is True else unpaired
    bank = own[np.random.default_rng([seed, 27]).permutation(len(own))[:BANK_ROWS]]
    mapped = free.determined(free(known[0]))
    gain = -float(log_ranks(mapped, free.determined(known[1]), free.determined(bank)).mean()) - np.log(paired.fit)
    # Few pairs rank first by luck: where both do as well, the alignment that all vectors confirm is the safer one.
    return free if gain > 1e-9 or (free.identified and gain > -1e-9) else paired


@final
class Aligned:
    """features -> what a fitted attack makes of them once they are mapped to the attacker's own feature space.

    For releases behind a secret key (`RandomRotation`) or of an encoder that the attacker lacks. `attack` was fitted on
    public pairs of the attacker's own encoder; `fit` on the same pairs keeps their vectors, and `align` learns the map
    from the whole release and from `pairs` known pairs, none by default. Until then `reconstruct` refuses, so that an
    attack that was never aligned cannot pass for a weak one. `alignment` holds the map with the attacker's own `fit`.
    Raises BadInput for a negative number of pairs, and for an attack that is not fitted or is fitted on other features.
    """

    kind = "attack"

    def __init__(self, attack: Attack, pairs: int = 0, *, seed: int = 0) -> None:
        if isinstance(pairs, bool) or not isinstance(pairs, int) or pairs < 0:
            raise BadInput(f"pairs: expected a whole number of known pairs of at least 0, got {pairs!r}")
        self.attack = attack
        self.pairs = pairs
        self.seed = check_seed("aligned: seed", seed)
        self.feature_shape: tuple[int, ...] = ()
        self.image_size: int = 0
        self.victim: dict[str, Any] = {}
        self.alignment: Alignment | None = None
        self._own: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Aligned({self.attack!r}, pairs={self.pairs}, seed={self.seed})"

    @property
    def parameters(self) -> int:
        """Those of the attack, and the numbers of the map."""
        a = self.alignment
        return self.attack.parameters + (0 if a is None else a.weight.size + a.source.size + a.target.size)

    def fit(self: Fitted, pairs: PairsLike) -> Fitted:
        """Keep the own vectors of public pairs; forgets an earlier alignment. Raises BadInput as the class says."""
        inner = tuple(getattr(self.attack, "feature_shape", ()))
        if inner != tuple(pairs.feature_shape):
            raise BadInput(
                f"attack: expected one fitted on features of shape {tuple(pairs.feature_shape)}, got {self.attack!r} "
                f"{f'fitted on {inner}' if inner else 'before fit(pairs)'}; fit it on these pairs first"
            )
        rows = np.random.default_rng([self.seed, 28]).permutation(len(pairs))[:MOST_OWN]
        self._own = np.asarray(pairs.features(np.sort(rows))).reshape(len(rows), -1)
        self.feature_shape, self.image_size, self.victim = inner, int(pairs.image_size), dict(pairs.metadata)
        self.alignment = None
        return self

    def align(self: Fitted, release: Any, known: Known | None = None) -> Fitted:
        """Learn the map from a `Release` (its vectors and metadata, never its truth) or from an array (N, *F).

        `known` holds released vectors (n, *F) and own vectors (n, *G) of the same images, at least `pairs` of them; the
        first `pairs` are used. Raises BadInput before `fit`, for fewer known pairs, and for vectors that `align` of
        this module refuses.
        """
        if self._own is None:
            raise BadInput("Aligned: expected fit(pairs) before align(release): it needs the attacker's own vectors")
        released = np.asarray(getattr(release, "features", release))
        chosen = self._chosen(known)
        self.alignment = align(released.reshape(len(released), -1), self._own, chosen, seed=self.seed)
        self.feature_shape = tuple(released.shape[1:])
        metadata = getattr(release, "metadata", None)
        if metadata is not None:
            self.victim = {key: value for key, value in metadata.items() if key not in _RELEASE_KEYS}
        return self

    @torch.no_grad()
    def reconstruct(self, features: Features) -> Images:
        """Reconstruct the images (B, 3, S, S) of released vectors. Raises BadInput before `align`."""
        if self.alignment is None:
            raise BadInput(
                f"{self!r}: expected an attack that is aligned with the release, got one before align(release)"
            )
        rows = check_features(features, self.feature_shape).flatten(1)
        mapped = torch.from_numpy(self.alignment(rows.numpy()).astype(np.float32))
        shape = tuple(self.attack.feature_shape)  # type: ignore[attr-defined]
        images: Images = self.attack.reconstruct(mapped.reshape(len(rows), *shape).to(features.device))
        return images

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the tensors, those of the attack within under `attack.`."""
        a = self.alignment
        if a is None:
            raise BadInput("Aligned: expected an aligned attack to save, got one before align(release)")
        inner_config, inner_tensors = self.attack.state()  # type: ignore[attr-defined]
        config = {
            "args": {"pairs": self.pairs, "seed": self.seed},
            "attack": {"class": configuration.public_path(type(self.attack)), "config": inner_config},
            "alignment": {"method": a.method, "pairs": a.pairs, "fit": a.fit, "identified": a.identified},
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(a, name))) for name in _ALIGNMENT}
        return config, tensors | {f"attack.{name}": tensor for name, tensor in inner_tensors.items()}

    @classmethod
    def from_state(cls: type[Fitted], config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> Fitted:
        """Rebuild it with the attack within, to reconstruct but not to be aligned again before another `fit`."""
        inner = {name.removeprefix("attack."): t for name, t in tensors.items() if name.startswith("attack.")}
        kind: Any = configuration.trusted_class(str(config["attack"]["class"]), allow)
        attack = cls(kind.from_state(config["attack"]["config"], inner, allow), **config["args"])
        attack.feature_shape = tuple(int(size) for size in config["feature_shape"])
        attack.image_size, attack.victim = int(config["image_size"]), dict(config["victim"])
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith("attack.")}
        width = torch.Size(attack.attack.feature_shape).numel()  # type: ignore[attr-defined]
        check_tensors(own, _layout(torch.Size(attack.feature_shape).numel(), width))
        said = config["alignment"]
        attack.alignment = Alignment(
            **{name: tensor.numpy() for name, tensor in own.items()},
            method=str(said["method"]),
            pairs=int(said["pairs"]),
            fit=float(said["fit"]),
            identified=bool(said["identified"]),
        )
        return attack

    def _chosen(self, known: Known | None) -> Known | None:
        if self.pairs == 0:
            return None
        if known is None or len(known[0]) < self.pairs or len(known[1]) < self.pairs:
            got = "none" if known is None else f"{len(known[0])} released and {len(known[1])} own vectors"
            raise BadInput(f"known: expected at least {self.pairs} known pairs, got {got}; lower pairs, or give more")
        left, right = (np.asarray(side[: self.pairs]).reshape(self.pairs, -1) for side in known)
        return left, right


def _layout(released: int, own: int) -> Layout:
    number = torch.float64
    return {
        "weight": (number, (released, own)),
        "source": (number, (released,)),
        "target": (number, (own,)),
        "basis": (number, (own, "directions")),
    }
