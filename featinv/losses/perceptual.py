"""How different two images look to an encoder."""

from collections.abc import Sequence
from typing import final

from torch import nn

from featinv.losses.feature_maps import FeatureMaps, Maps, directions
from featinv.types import PerImage


@final
class Perceptual(FeatureMaps):
    """Weighted sum over layers of the mean over positions of ||u - v||^2, u and v the maps' unit channel vectors.

    Between 0 and 4 where weights sum to 1. `encoder` is any of featinv's: the victim's own is the attacker's to use and
    needs no download, but then neither it nor a sibling of it may judge. `layers` are by default the last at each
    resolution, up to the encoder's own cut (`Encoder.stages`), `weights` one each, 1 / number of layers by default.

    Raises BadInput for a layer that does not exist, for weights that are no weights, for what is no encoder, and for
    pixels outside [0, 1]. Source: arXiv:1801.03924, equation 1, with equal channel weights instead of learned ones; the
    idea is that of arXiv:1603.08155.
    """

    def __init__(
        self,
        encoder: nn.Module,
        layers: Sequence[str] | None = None,
        weights: Sequence[int | float] | None = None,
    ) -> None:
        super().__init__(encoder, layers, weights)

    def distance(self, ours: Maps, theirs: Maps, layer: str) -> PerImage:
        del layer
        return (directions(ours) - directions(theirs)).square().sum(1).mean((1, 2))
