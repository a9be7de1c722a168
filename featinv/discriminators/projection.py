"""Conditioning a discriminator on the released vector."""

import math
from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from featinv.blocks import Standardise
from featinv.errors import BadInput
from featinv.types import Features, Images

from .discriminator import Discriminator, Hidden, Logits


@final
class Projection(Discriminator):
    """images (B, 3, S, S), features (B, *F) -> logits: does this image belong to this vector, and look real?

    psi(phi(x)) + <E f, phi(x)>, for any unconditional discriminator: psi(phi(x)) are its own logits, phi(x) its last
    hidden map, averaged over the positions, and E a linear map without bias from the flattened vector, learnt with the
    rest. Where there are several logits an image, the product is added to each. Vectors come in as they are released
    and are standardised inside by buffers, which are the identity until `set_statistics` gives them the public mean
    and deviation. Raises BadInput for a discriminator that is conditional already, for no vectors, and for vectors of
    another shape.

    Source: arXiv:1802.05637, equation 3. We differ in averaging phi where it sums, which E makes up for, and in
    starting E from N(0, 1 / (D channels)), as R3GAN does (arXiv:2501.05441), so that E f starts near unit length.
    """

    conditional = True

    def __init__(self, discriminator: Discriminator, feature_shape: int | Sequence[int]) -> None:
        if not isinstance(discriminator, Discriminator) or discriminator.conditional:
            raise BadInput(
                f"Projection: expected an unconditional discriminator (DCGAN, Patch, FrozenFeatures or a subclass of "
                f"Discriminator), got {type(discriminator).__name__}"
            )
        shape = (feature_shape,) if isinstance(feature_shape, int) else tuple(feature_shape)
        if not shape or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
            raise BadInput(
                f"Projection: expected feature_shape of positive integers, got {feature_shape!r}; "
                "give the victim's feature_shape"
            )
        super().__init__(discriminator.image_size, discriminator.channels)
        self.discriminator = discriminator
        self.feature_shape = shape
        self.standardise = Standardise(shape)
        self.embedding = nn.Linear(math.prod(shape), self.channels, bias=False)
        nn.init.normal_(self.embedding.weight, std=(math.prod(shape) * self.channels) ** -0.5)

    @property
    def fingerprints(self) -> frozenset[str]:
        """Those of the discriminator inside."""
        return self.discriminator.fingerprints

    def hidden(self, images: Images) -> Hidden:
        return self.discriminator.hidden(images)

    def head(self, hidden: Hidden, features: Features | None) -> Logits:
        if features is None:
            raise BadInput("Projection: expected the vectors of the images, got none; call it with (images, features)")
        if features.shape != (len(hidden), *self.feature_shape):
            raise BadInput(
                f"Projection: expected features of shape ({len(hidden)}, {', '.join(map(str, self.feature_shape))}), "
                f"got {tuple(features.shape)}; build it for the victim's feature_shape"
            )
        logits = self.discriminator.head(hidden, None)
        embedded = self.embedding(self.standardise(features).flatten(1))
        product = (embedded * hidden.flatten(2).mean(2)).sum(1)
        return logits + product.reshape(-1, *[1] * (logits.ndim - 1))

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        self.standardise.set_statistics(mean, deviation)
