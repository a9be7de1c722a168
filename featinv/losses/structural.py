"""Structural similarity, at one scale and at several, as something to make small."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from featinv import metrics
from featinv.errors import BadInput
from featinv.losses.objective import Loss, wide
from featinv.types import Images, PerImage

WINDOW = 11
SHARES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""exponents of the scales, finest first (Wang et al. 2003, section 3.2)"""

_FLOOR = 1e-4
"""least similarity of a scale: a root of 0 has no finite slope, and of less there is none"""


@final
class SSIM(Loss):
    """1 - SSIM, of `featinv.metrics.ssim`: 0 for a perfect copy, at most 2.

    Raises BadInput for pixels outside [0, 1] and for pictures below 11 pixels. Source: Wang et al. 2004, "Image quality
    assessment: from error visibility to structural similarity", equation 13.
    """

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        _check_side(self, original, 1)
        made, target = wide(reconstruction, original)
        with torch.autocast(made.device.type, enabled=False):
            return 1 - _ssim(made, target)


@final
class MSSSIM(Loss):
    """1 - multi-scale SSIM: contrast and structure at every scale, luminance at the coarsest; each halves the sides.

    0 for a perfect copy, at most 1. Windows are those of `featinv.metrics.ssim`, wholly inside the picture. The
    coarsest scale must have 11 pixels a side: five scales, as in the source, need 176, four 88, three 44, two 22. With
    fewer than five the first exponents are kept and scaled to sum to 1, which is ours. A scale's similarity counts as
    at least 1e-4, so that slopes stay finite.

    Raises BadInput for pixels outside [0, 1], for another number of scales, and for pictures that are too small, saying
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
        made, target = wide(reconstruction, original)
        shares = SHARES[: self.scales]
        total = torch.zeros((), dtype=made.dtype, device=made.device)
        with torch.autocast(made.device.type, enabled=False):
            for share in shares[:-1]:
                total = total + share * _contrast(made, target).clamp(min=_FLOOR).log()
                made, target = F.avg_pool2d(made, 2), F.avg_pool2d(target, 2)
            total = total + shares[-1] * _ssim(made, target).clamp(min=_FLOOR).log()
            return 1 - (total / sum(shares)).exp()

    def extra_repr(self) -> str:
        return f"scales={self.scales}"


def _ssim(made: Tensor, target: Tensor) -> Tensor:
    # The metric refuses NaN; a loss leaves it to the fit loop, which knows the step and the name of the term.
    values = metrics.ssim(made.nan_to_num(0.5, 0.5, 0.5), target.nan_to_num(0.5, 0.5, 0.5))
    return values.to(made.dtype) + 0 * made.flatten(1).sum(1)


def _contrast(made: Tensor, target: Tensor) -> Tensor:
    """Return the product of contrast and structure, averaged over the windows inside the picture."""
    _, values = structural_similarity_index_measure(
        made,
        target,
        sigma=1.5,
        kernel_size=WINDOW,
        data_range=1.0,
        reduction="none",
        return_contrast_sensitivity=True,
    )
    return values


def _check_side(loss: Loss, images: Tensor, scales: int) -> None:
    side = min(images.shape[2:])
    if side >> (scales - 1) >= WINDOW:
        return
    fitting = [count for count in range(1, len(SHARES) + 1) if side >> (count - 1) >= WINDOW]
    fix = f"give scales={fitting[-1]}" if fitting else "use L1 or MSE"
    least = WINDOW << (scales - 1)
    raise BadInput(f"{type(loss).__name__}: expected pictures of at least {least} pixels a side, got {side}; {fix}")
