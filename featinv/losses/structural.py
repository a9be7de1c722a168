"""Structural similarity, at one scale and at several, as something to make small."""

from typing import final

import torch
from torch import Tensor

from featinv.errors import BadInput
from featinv.losses.objective import Loss, wide
from featinv.metrics.structure import SHARES, WINDOW, similarity_by_scale, window_ssim
from featinv.types import Images, PerImage

_FLOOR = 1e-4
"""least similarity of a scale: a root of 0 has no finite slope, and of less there is none"""


@final
class SSIM(Loss):
    """1 - SSIM, of `featinv.metrics.ssim`: 0 for a perfect copy, at most 2.

    Raises BadInput for pixels outside [0, 1] and for images below 11 pixels. Source: Wang et al. 2004, "Image quality
    assessment: from error visibility to structural similarity", equation 13.
    """

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        _check_side(self, original, 1)
        reconstructed, target = wide(reconstruction, original)
        with torch.autocast(reconstructed.device.type, enabled=False):
            return 1 - window_ssim(reconstructed, target)


@final
class MSSSIM(Loss):
    """1 - multi-scale SSIM: contrast and structure at every scale, luminance at the coarsest; each halves the sides.

    0 for a perfect copy, at most 1. Windows are those of `featinv.metrics.ssim`, wholly inside the image. The
    coarsest scale must have 11 pixels a side: five scales, as in the source, need 176, four 88, three 44, two 22. With
    fewer than five the first exponents are kept and scaled to sum to 1, which is ours. A scale's similarity counts as
    at least 1e-4, so that slopes stay finite.

    Raises BadInput for pixels outside [0, 1], for another number of scales, and for images that are too small, saying
    how many scales they have. Source: Wang et al. 2003, "Multi-scale structural similarity for image quality
    assessment", equation 7.
    """

    def __init__(self, scales: int = 5) -> None:
        super().__init__()
        if isinstance(scales, bool) or not isinstance(scales, int) or not 1 <= scales <= len(SHARES):
            raise BadInput(f"MSSSIM: expected 1 to {len(SHARES)} scales, got {scales!r}")
        self.scales = scales

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        _check_side(self, original, self.scales)
        reconstructed, target = wide(reconstruction, original)
        shares = SHARES[: self.scales]
        with torch.autocast(reconstructed.device.type, enabled=False):
            by_scale = similarity_by_scale(reconstructed, target, self.scales)
            logs = [
                share * similarity.clamp(min=_FLOOR).log() for share, similarity in zip(shares, by_scale, strict=True)
            ]
            return 1 - (torch.stack(logs).sum(0) / sum(shares)).exp()

    def extra_repr(self) -> str:
        return f"scales={self.scales}"


def _check_side(loss: Loss, images: Tensor, scales: int) -> None:
    side = min(images.shape[2:])
    if side >> (scales - 1) >= WINDOW:
        return
    fitting = [count for count in range(1, len(SHARES) + 1) if side >> (count - 1) >= WINDOW]
    fix = f"give scales={fitting[-1]}" if fitting else "use L1 or MSE"
    least = WINDOW << (scales - 1)
    raise BadInput(f"{type(loss).__name__}: expected images of at least {least} pixels a side, got {side}; {fix}")
