"""The mean of several attacks: what is left of their errors where these differ."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from featinv import configuration
from featinv.attacks.checks import check_features
from featinv.errors import BadInput
from featinv.types import Attack, Features, Images, PairsLike


@final
class Ensemble:
    """features (B, *F) -> the mean over `attacks` of their reconstructions, (B, 3, S, S).

    The squared error of a mean is at most the mean of the squared errors: it falls by the variance among the members
    (arXiv:1612.01474 has ensembles of networks that differ in their first weights). Three to five decoders that differ
    in their seeds gain PSNR, and lose contrast. With `contrast` every image is given back the mean of its members'
    standard deviations, about its own mean: for decoders of `presets.identify`, whose images identify less when they
    are paler (docs/results/identify.md). `fit` fits every member on the same pairs, one after the other. Raises
    BadInput for fewer than 2 attacks, and for members that were fitted on different features or images.
    """

    kind = "attack"

    def __init__(self, attacks: Sequence[Attack], *, contrast: bool = False) -> None:
        self.attacks, self.contrast = tuple(attacks), bool(contrast)
        if len(self.attacks) < 2:
            raise BadInput(f"Ensemble: expected at least 2 attacks to average, got {len(self.attacks)}; add some")
        if len({id(attack) for attack in self.attacks}) < len(self.attacks):
            raise BadInput("Ensemble: expected different attacks, got one of them twice; build each with its own seed")
        self._check_agreement()

    def __repr__(self) -> str:
        return f"Ensemble({', '.join(map(repr, self.attacks))}{', contrast=True' if self.contrast else ''})"

    @property
    def parameters(self) -> int:
        """Those of all members."""
        return sum(attack.parameters for attack in self.attacks)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """That of the members, () before `fit`."""
        return tuple(getattr(self.attacks[0], "feature_shape", ()))

    @property
    def image_size(self) -> int:
        """The side in pixels of the members' images, 0 before `fit`."""
        return int(getattr(self.attacks[0], "image_size", 0))

    @property
    def victim(self) -> dict[str, Any]:
        """The metadata of the pairs that the members were fitted on."""
        return dict(getattr(self.attacks[0], "victim", {}))

    @property
    def excluded_judges(self) -> frozenset[str]:
        """Fingerprints of the weights that any member was trained to please, which may judge none of them."""
        return frozenset().union(*(getattr(attack, "excluded_judges", frozenset()) for attack in self.attacks))

    def fit(self, pairs: PairsLike) -> "Ensemble":
        """Fit every member on public pairs; raises BadInput as they do."""
        for attack in self.attacks:
            attack.fit(pairs)
        return self

    @torch.no_grad()
    def reconstruct(self, features: Features) -> Images:
        """Return the mean image (B, 3, S, S) in [0, 1]. Raises BadInput before `fit`, and as the members do."""
        self._check_agreement()
        check_features(features, self.feature_shape)
        members: Tensor = torch.stack([attack.reconstruct(features) for attack in self.attacks])
        images = members.mean(0)
        return _with_spread(images, _spread(members).mean(0)) if self.contrast else images

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the members' tensors, those of member k under `k.`."""
        members: list[dict[str, Any]] = []
        tensors: dict[str, Tensor] = {}
        for number, attack in enumerate(self.attacks):
            config, own = attack.state()  # type: ignore[attr-defined]
            members.append({"class": configuration.public_path(type(attack)), "config": config})
            tensors |= {f"{number}.{name}": tensor for name, tensor in own.items()}
        return {"attacks": members, "contrast": self.contrast}, tensors

    @classmethod
    def from_state(cls, config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> "Ensemble":
        """Rebuild the members, to reconstruct."""
        members = []
        for number, member in enumerate(config["attacks"]):
            own = {name.removeprefix(f"{number}."): t for name, t in tensors.items() if name.startswith(f"{number}.")}
            kind: Any = configuration.trusted_class(str(member["class"]), allow)
            members.append(kind.from_state(member["config"], own, allow))
        return cls(members, contrast=bool(config.get("contrast", False)))

    def _check_agreement(self) -> None:
        shapes = {(tuple(getattr(a, "feature_shape", ())), int(getattr(a, "image_size", 0))) for a in self.attacks}
        if len(shapes) > 1:
            raise BadInput(
                "Ensemble: expected members of one feature shape and image size, got "
                f"{' and '.join(f'{shape} to {size} px' for shape, size in sorted(shapes))}; fit all on the same pairs"
            )


def _with_spread(images: Images, spread: Tensor) -> Images:
    """The images with the standard deviations (B,), each about its own mean, clipped to [0, 1]."""
    ratio = spread / _spread(images).clamp(min=1e-6)
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + ratio[:, None, None, None] * (images - mean)).clamp(0, 1)


def _spread(images: Tensor) -> Tensor:
    """Standard deviation of each image (..., 3, S, S) about its own mean, (...); torch's own warns of no images."""
    return (images - images.mean((-3, -2, -1), keepdim=True)).square().mean((-3, -2, -1)).sqrt()
