"""Losses between pixels: the paper's binary cross-entropy, squared and absolute error."""

import torch

from featinv.losses.objective import Loss, wide
from featinv.types import Images, PerImage

# Keras clips a prediction to [eps, 1 - eps] before the logarithm, and so do we; its default eps.
KERAS_EPSILON = 1e-7


class BCE(Loss):
    """Mean over pixels and channels of the binary cross-entropy, in nats, of [0, 1] pixels: the paper's loss.

    A perfect copy does not score 0 but the entropy of the pixels (`bce_floor`): report the excess over it. Has the same
    minimiser as the squared error, E[pixel | features]. The reconstruction is clipped to [1e-7, 1 - 1e-7] as in Keras,
    so that value and gradient stay finite at 0 and 1 (where the gradient is 0, as it is behind a saturated sigmoid).
    Raises BadInput for pixels outside [0, 1]. Source: Listik's notebook (github tivvit/resnet_gan).
    """

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        reconstructed, target = wide(reconstruction, original)
        p = reconstructed.clamp(KERAS_EPSILON, 1 - KERAS_EPSILON)
        # log1p keeps the digits of 1 - p near p = 0; autocast refuses torch's fused binary_cross_entropy.
        return -(target * p.log() + (1 - target) * (-p).log1p()).flatten(1).mean(1)


class MSE(Loss):
    """Mean over pixels and channels of the squared error, on the [0, 1] scale; its minimiser is E[pixel | features].

    Raises BadInput for pixels outside [0, 1].
    """

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        reconstructed, target = wide(reconstruction, original)
        return (reconstructed - target).square().flatten(1).mean(1)


class L1(Loss):
    """Mean over pixels and channels of the absolute error, on the [0, 1] scale; its minimiser is the posterior median.

    The median costs PSNR against the mean: prefer MSE where PSNR is the goal. Raises BadInput for pixels outside
    [0, 1].
    """

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        reconstructed, target = wide(reconstruction, original)
        return (reconstructed - target).abs().flatten(1).mean(1)


def bce_floor(images: Images) -> PerImage:
    """Return what `BCE` gives a perfect copy: the mean binary entropy of the pixels, in nats, (B, 3, H, W) -> (B,)."""
    pixels = images.to(torch.promote_types(images.dtype, torch.float32))
    return (torch.special.entr(pixels) + torch.special.entr(1 - pixels)).flatten(1).mean(1)
