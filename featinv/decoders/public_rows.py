"""Which public images a decoder is shown beside a vector."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from featinv.types import Features

SAME = 0.999
"""cosine of two vectors from which their images count as one, while training"""


@torch.no_grad()
def nearest_rows(features: Features, public: Float[Tensor, "N D"], count: int, *, others: bool) -> Tensor:
    """Return the rows (B, count) of the public vectors that are nearest (Euclidean), nearest first.

    With `others` the row nearest to a vector is left out, as the image itself, with every row of cosine above 0.999 to
    it: what a decoder that is being trained may not be shown.
    """
    far = torch.cdist(features.float(), public, compute_mode="donot_use_mm_for_euclid_dist")
    if others:
        same = F.normalize(features.float(), dim=1) @ F.normalize(public, dim=1).T > SAME
        same.scatter_(1, far.argmin(1, keepdim=True), True)
        far = far.masked_fill(same, torch.inf)
    return far.topk(count, largest=False, sorted=True).indices
