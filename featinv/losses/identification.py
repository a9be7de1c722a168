"""Losses that ask whether a reconstruction singles out its original, not whether it is near it."""

import math
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.losses.objective import wide
from featinv.losses.through_encoder import ThroughEncoder
from featinv.types import Images, PerImage


@final
class Identification(ThroughEncoder):
    """-log softmax of a reconstruction's cosine with its own original, among candidates that are other images.

    c_ij is the cosine of the encoder's features of reconstruction i and image j, both centred on the mean of the public
    images' features, as judges rank them. The loss of image i is, in nats,
    -log(exp(c_ii / tau) / (exp(c_ii / tau) + sum_j exp(c_ij / tau))). No gradient passes through originals and
    candidates. Squared feature error spends most on what all images of a class share; this loss on what tells an image
    from its neighbours. It is smallest not for the perfect copy but for one that exaggerates the difference, so it
    stands beside a pixel loss.

    With `public`, (M, D) features of the public images by the same encoder (`public_features`), the candidates are the
    `negatives` rows with the highest cosine to the original (None: all rows), and each image's number is independent of
    the rest of the batch: accumulation and several processes change nothing. The row nearest to the original is left
    out, as the original itself or its mirror image, and so is every row whose cosine with it is above `same`, as a
    duplicate. Without `public` the candidates are the other originals of the call, centred on their own mean: a number
    then depends on the batch, and on how it is divided among processes.

    In random views write `RandomViews(Identification(encoder, public), both=False)`. Raises BadInput for a `tau` that
    is not above 0, for fewer public features than negatives or of another width than the encoder's, and for a call with
    a single image where there are no public features. Source: InfoNCE, arXiv:1807.03748, equation 4, with cosines over
    a temperature as in arXiv:2002.05709, equation 1; candidates from a fixed table of a frozen network are ours.
    """

    centre: Tensor | None
    table: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        public: Float[Tensor, "M D"] | None = None,
        *,
        tau: int | float = 0.1,
        negatives: int | None = None,
        same: int | float = 0.999,
    ) -> None:
        super().__init__(encoder)
        if isinstance(tau, bool) or not isinstance(tau, int | float) or not (math.isfinite(tau) and tau > 0):
            raise BadInput(f"Identification: expected tau to be a finite number above 0, got {tau!r}; e.g. 0.1")
        if not -1 < same <= 1:
            raise BadInput(f"Identification: expected same to be a cosine above -1 and up to 1, got {same!r}")
        self.tau, self.negatives, self.same = tau, negatives, same
        centre = table = None
        if public is not None:
            self._check_public(public)
            centre = public.float().mean(0)
            table = F.normalize(public.float() - centre, dim=1)
        self.register_buffer("centre", centre, persistent=False)
        self.register_buffer("table", table, persistent=False)
        if public is None and negatives is not None:
            raise BadInput("Identification: negatives are rows of public features, but there are none; give public")

    def forward(self, reconstruction: Images, original: Images) -> PerImage:
        self.check_images(reconstruction, original)
        enlarged, target = wide(reconstruction, original)
        with torch.no_grad():
            wanted = self.encoder.unchecked(target).flatten(1)
        features = self.encoder.unchecked(enlarged).flatten(1)
        with torch.autocast(enlarged.device.type, enabled=False):
            centre = wanted.mean(0) if self.centre is None else self.centre.to(wanted)
            own, ours = F.normalize(wanted - centre, dim=1), F.normalize(features - centre, dim=1)
            right = (ours * own).sum(1, keepdim=True)
            others = self._among_the_call(ours, own) if self.table is None else self._among_public(ours, own)
            logits = torch.cat([right, others], 1) / self.tau
            return (logits.logsumexp(1) - logits[:, 0]).to(enlarged.dtype)

    def extra_repr(self) -> str:
        rows = "the batch" if self.table is None else f"{self.negatives or len(self.table)} of {len(self.table)} public"
        return f"{super().extra_repr()}, tau={self.tau:g}, candidates={rows}, same={self.same:g}"

    def _among_public(self, ours: Tensor, own: Tensor) -> Tensor:
        """(B, negatives) cosines with rows of the table; -inf for rows that are the original itself."""
        assert self.table is not None
        table = self.table.to(own)
        near = own @ table.T
        left_out = near > self.same
        left_out.scatter_(1, near.argmax(1, keepdim=True), True)
        cosines = (ours @ table.T).masked_fill(left_out, -torch.inf)
        if self.negatives is None or self.negatives >= len(table):
            return cosines
        return cosines.gather(1, near.masked_fill(left_out, -torch.inf).topk(self.negatives, 1).indices)

    def _among_the_call(self, ours: Tensor, own: Tensor) -> Tensor:
        if len(own) < 2:
            raise BadInput(
                "Identification: expected at least 2 images in a call without public features, got "
                f"{len(own)}; give public features"
            )
        return (ours @ own.T).masked_fill(own @ own.T > self.same, -torch.inf)

    def _check_public(self, public: Tensor) -> None:
        width = math.prod(self.encoder.feature_shape)
        if public.ndim != 2 or public.shape[1] != width:
            raise BadInput(
                f"Identification: expected public features of shape (M, {width}), as {self.encoder.name} gives, got "
                f"{tuple(public.shape)}; make them by public_features(encoder, images)"
            )
        most = len(public) - 1  # the row nearest to an original is left out
        if most < 1 or (self.negatives is not None and not 1 <= self.negatives <= most):
            raise BadInput(
                f"Identification: expected 1 to {most} negatives of {len(public)} public images, got {self.negatives}; "
                "lower it, or give more public images"
            )
        if not bool(public.isfinite().all()):
            raise BadInput("Identification: expected finite public features, got NaN or infinity")
