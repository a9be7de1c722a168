"""Which public images a decoder is shown beside a vector."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from featinv.errors import BadInput
from featinv.types import Features, Images

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


def check_public(expected: int, vectors: Float[Tensor, "N D"], images: Images) -> None:
    """Raise BadInput unless there are as many public vectors and images as the decoder was built for."""
    if len(vectors) != expected or len(images) != expected:
        raise BadInput(
            f"set_public: expected {expected} vectors and images, got {len(vectors)} and {len(images)}; build "
            "the decoder for that number"
        )
