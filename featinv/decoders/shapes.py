"""Shape checks that all decoders share."""

from collections.abc import Sequence

from torch import Tensor

from featinv.errors import BadInput

SMALLEST, LARGEST = 8, 256


def feature_tuple(feature_shape: int | Sequence[int], decoder: str) -> tuple[int, ...]:
    """Return the shape as a tuple, 64 -> (64,). Raises BadInput unless it is (D,) or (C, H, W) of positive integers."""
    shape = (feature_shape,) if isinstance(feature_shape, int) else tuple(feature_shape)
    if len(shape) not in (1, 3) or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
        raise BadInput(
            f"{decoder}: expected feature_shape (D,) or (C, H, W) of positive integers, got {feature_shape!r}; "
            "pass the encoder's feature_shape"
        )
    return shape


def check_image_size(image_size: int, decoder: str, smallest: int = SMALLEST) -> int:
    """Return the size. Raises BadInput unless it is a power of two from `smallest` to 256 pixels."""
    if isinstance(image_size, bool) or image_size not in [2**k for k in range(3, 9) if 2**k >= smallest]:
        raise BadInput(
            f"{decoder}: expected image_size to be a power of two from {smallest} to {LARGEST}, got {image_size!r}; "
            "resize the images when they are loaded (size=...)"
        )
    return image_size


def check_features(features: Tensor, feature_shape: tuple[int, ...], decoder: str) -> None:
    """Raise BadInput unless `features` has shape (B, *feature_shape)."""
    if tuple(features.shape[1:]) != feature_shape or features.ndim == 0:
        raise BadInput(
            f"{decoder}: expected features of shape (B, {', '.join(map(str, feature_shape))}), got "
            f"{tuple(features.shape)}; use the features of the encoder that the decoder was built for"
        )
