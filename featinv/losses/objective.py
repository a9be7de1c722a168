"""Losses, and the weighted sum of losses that an attack makes small."""

import math
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.types import Images, PerImage

SLACK = 1e-6


class Term(NamedTuple):
    """One summand of an objective."""

    name: str
    weight: float
    loss: "Loss"


class Loss(nn.Module):
    """(reconstruction, original) -> (B,): abstract; a subclass writes `forward` and returns one number an image.

    Losses add up: `BCE() + 0.5 * L1()` is an `Objective`, itself a loss. A single loss answers everything that an
    objective answers (`terms`, `named`, `weigh`), so that nobody who takes an objective needs to ask which it is.
    """

    _range_checked = False

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        """Return one number an image, smaller for a better reconstruction: float32, float64 for float64 images."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(reconstruction, original) -> (B,)")

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints (of the weights) of the frozen networks inside, which may judge nothing trained with this loss.

        Empty by default: a loss of yours that looks through a network names it here.
        """
        return frozenset()

    @property
    def words(self) -> str:
        """What an objective prints of this loss and a checkpoint knows it by: the class, and torch's `extra_repr`.

        A loss with settings writes them into `extra_repr`, so that no two different losses print alike.
        """
        settings = self.extra_repr()
        return f"{type(self).__name__}({settings})" if settings else type(self).__name__

    def __repr__(self) -> str:
        return self.words

    @property
    def terms(self) -> tuple[Term, ...]:
        """The summands with their names and weights."""
        return (Term(type(self).__name__, 1.0, self),)

    def named(self, reconstruction: Images, original: Images) -> dict[str, Tensor]:
        """Return every term's own value by name, (B,) each and unweighted: what a progress bar or a tracker shows."""
        return {name: loss(reconstruction, original) for name, _, loss in self.terms}

    def weigh(self, values: Mapping[str, Tensor]) -> PerImage:
        """Return the weighted sum of what `named` gave: the total, without computing anything twice."""
        return torch.stack([weight * values[name] for name, weight, _ in self.terms]).sum(0)

    def check_images(self, reconstruction: Tensor, original: Tensor) -> None:
        """Raise BadInput unless both are (B, 3, H, W) of one shape with values in [0, 1] (to 1e-6).

        On an accelerator the values are looked at in this loss's first call only, because each look would make the
        host wait for the device. A NaN passes: that is for the fit loop, which stops with `Diverged`.
        """
        if reconstruction.shape != original.shape or original.ndim != 4 or original.shape[1] != 3:
            raise BadInput(
                f"{type(self).__name__}: expected two batches of one shape (B, 3, H, W), got "
                f"{tuple(reconstruction.shape)} and {tuple(original.shape)}; give each reconstruction its own original"
            )
        if self._range_checked and original.device.type != "cpu":
            return
        self._range_checked = True
        for images, what in ((reconstruction, "reconstruction"), (original, "original")):
            low, high = (float(bound) for bound in images.detach().aminmax()) if images.numel() else (0.0, 1.0)
            if low < -SLACK or high > 1 + SLACK:
                raise BadInput(
                    f"{type(self).__name__}: expected {what} pixels in [0, 1], got [{low:.6g}, {high:.6g}]; "
                    "divide 8-bit pixels by 255, end a decoder in a sigmoid"
                )

    def __add__(self, other: object) -> "Objective":
        if not isinstance(other, Loss):
            return NotImplemented
        return Objective([(term.weight, term.loss) for term in (*self.terms, *other.terms)])

    def __mul__(self, weight: object) -> "Objective":
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            return NotImplemented
        if not math.isfinite(weight) or weight < 0:
            raise BadInput(
                f"{self!r}: expected a finite weight of at least 0, got {weight}; give 0 to switch a term off"
            )
        return Objective([(weight * term.weight, term.loss) for term in self.terms])

    __rmul__ = __mul__


class Objective(Loss):
    """A weighted sum of losses, written with + and *; prints itself as `1*BCE + 0.5*L1`.

    Called, it gives the weighted total (B,). Two terms of one class are told apart by a number: `L1`, `L1_2`.
    """

    def __init__(self, summands: list[tuple[float, Loss]]) -> None:
        super().__init__()
        self.weights = tuple(float(weight) for weight, _ in summands)
        self.losses = nn.ModuleList(loss for _, loss in summands)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The summands with their names and weights, in the order in which they were written."""
        kinds = [type(loss).__name__ for loss in self.losses]
        counts = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
        names = [kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, counts, strict=True)]
        losses = cast("list[Loss]", list(self.losses))
        return tuple(map(Term, names, self.weights, losses))

    @property
    def fingerprints(self) -> frozenset[str]:
        """Those of all terms; of one that is switched off by a weight of 0 too."""
        return frozenset().union(*(term.loss.fingerprints for term in self.terms))

    @property
    def words(self) -> str:
        """The weighted terms in the order in which they were written, each in its own words."""
        return " + ".join(f"{term.weight:g}*{term.loss.words}" for term in self.terms)

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        return self.weigh(self.named(reconstruction, original))


def wide(reconstruction: Tensor, original: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float32, float64 where one of them is: half precision would lose a small error."""
    kind = torch.promote_types(torch.promote_types(reconstruction.dtype, original.dtype), torch.float32)
    return reconstruction.to(kind), original.to(kind)
