"""What every discriminator is, whatever it looks at."""

from abc import ABC, abstractmethod
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from featinv.errors import BadInput
from featinv.types import Features, Images

Logits: TypeAlias = Float[Tensor, " B *P"]
Hidden: TypeAlias = Float[Tensor, " B C *Q"]

SIZES = (32, 64, 128, 256)
"""sides of the images that a discriminator may be built for, in pixels"""


class Discriminator(nn.Module, ABC):
    """images (B, 3, S, S) (, features (B, *F)) -> logits, high for images that look real: abstract.

    Logits are (B,), or (B, h, w) or (B, N) where every patch has one. A subclass writes `hidden`, the last hidden map
    of `channels` channels, and `head`, which makes logits of it; `Projection` puts vectors between the two. Pixels are
    in [0, 1], but for those that an augmentation moved. A discriminator whose `conditional` is true needs the vectors
    as they were released; any other ignores them, so that a step may always hand them over. Raises BadInput for
    images of another size.
    """

    conditional: bool = False
    """whether the logits depend on the features"""

    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.channels = channels

    def forward(self, images: Images, features: Features | None = None) -> Logits:
        """Return the logits of images, and of their vectors where the discriminator is conditional."""
        if images.shape[1:] != (3, self.image_size, self.image_size):
            raise BadInput(
                f"{type(self).__name__}: expected images (B, 3, {self.image_size}, {self.image_size}), got "
                f"{tuple(images.shape)}; build the discriminator for the image_size of the decoder"
            )
        return self.head(self.hidden(images), features)

    @abstractmethod
    def hidden(self, images: Images) -> Hidden:
        """Return the last hidden map of images, (B, channels, h, w) or (B, channels, N)."""

    @abstractmethod
    def head(self, hidden: Hidden, features: Features | None) -> Logits:
        """Return the logits of a hidden map, and of the vectors where the discriminator is conditional."""

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints (of the weights) of the frozen networks inside, which may judge nothing trained against this."""
        return frozenset()

    @property
    def batch_statistics(self) -> bool:
        """Whether a batch norm inside makes the logits of an image depend on its batch mates, while training."""
        return any(isinstance(part, _BatchNorm) for part in self.modules())

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Take mean and deviation of the public features, (*F,) each; a conditional one standardises by them."""
        del mean, deviation


def check_image_size(image_size: int, discriminator: str) -> int:
    """Return the size. Raises BadInput unless it is 32, 64, 128 or 256 pixels."""
    if isinstance(image_size, bool) or image_size not in SIZES:
        raise BadInput(
            f"{discriminator}: expected image_size to be a power of two from {SIZES[0]} to {SIZES[-1]}, got "
            f"{image_size!r}; give the image_size of the decoder"
        )
    return image_size


def check_count(count: int, what: str, discriminator: str) -> int:
    """Return the number. Raises BadInput unless it is a whole number of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadInput(f"{discriminator}: expected {what} to be a whole number of at least 1, got {count!r}")
    return count
