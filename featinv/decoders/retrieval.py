"""A decoder that is shown the nearest public images beside the vector."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from featinv.decoders.public_rows import check_public, nearest_rows
from featinv.decoders.shapes import check_features, check_image_size, feature_tuple
from featinv.decoders.trunks import normalisation, zeroed
from featinv.decoders.upsampling import Upsampling
from featinv.errors import BadInput
from featinv.types import Features, Images

SIDE = 16
"""pixels a side at which neighbours are shown"""
_MARGIN = 1e-3


@final
class RetrievalUpsampling(nn.Module):
    """(B, D) -> (B, 3, S, S) in [0, 1]: `Upsampling` at 16 x 16, corrected by what `k` nearest public images show.

    The public images with the nearest vectors (Euclidean) stand at 16 x 16 beside the reconstruction of the vector, 3
    channels each, and with them the absolute difference of the vectors, one channel each. Convolutions turn them into a
    correction before the sigmoid, 0 at first. `set_public` fills the bank of `public` rows; it is part of the weights,
    so that a saved attack contains the public images. Neighbours add no information, since they are a function of the
    vector; they add detail to copy.

    While training, the row nearest to a vector is left out as the image itself, with every row of cosine above 0.999 to
    it; of the next 2 k rows k are drawn, and in a share `dropped` of the images none is shown. In eval mode nothing is
    left out, so hold the pairs that you validate on out of the bank. `mismatched` shows the neighbours of another
    vector, the negative: the control that says what the neighbours are used for.

    Raises BadInput for fewer public rows than 2 k + 1, for sizes that `Upsampling` refuses, and for maps (C, H, W).
    Source: retrieval-augmented synthesis, arXiv:2204.11824, with k of the nearest drawn at random as there; images in
    place of their embeddings are ours.
    """

    vectors: Tensor
    thumbnails: Tensor

    def __init__(
        self,
        feature_shape: int | Sequence[int],
        image_size: int,
        public: int,
        *,
        k: int = 4,
        width: int = 256,
        channels: int = 8,
        dropout: int | float = 0.1,
        dropped: int | float = 0.2,
        mismatched: bool = False,
    ) -> None:
        super().__init__()
        self.feature_shape = feature_tuple(feature_shape, "RetrievalUpsampling")
        self.image_size = check_image_size(image_size, "RetrievalUpsampling")
        if len(self.feature_shape) != 1:
            raise BadInput(f"RetrievalUpsampling: expected vectors (D,), got {self.feature_shape}; pool the maps first")
        if isinstance(k, bool) or k < 1 or public < 2 * k + 1:
            raise BadInput(
                f"k: expected at least 1 neighbour and 2 k + 1 public images, got k = {k} and {public} images; lower k"
            )
        if not 0 <= dropped < 1:
            raise BadInput(f"dropped: expected a share in [0, 1), got {dropped}")
        self.public, self.k, self.width, self.channels = public, k, width, channels
        self.dropout, self.dropped, self.mismatched = dropout, dropped, mismatched
        self.side = min(SIDE, image_size)
        self.inner = Upsampling(self.feature_shape, self.side, width=width, channels=channels, dropout=dropout)
        hidden = 4 * channels if channels else 32
        self.correct = nn.Sequential(
            nn.Conv2d(3 + 4 * k, hidden, 3, padding=1),
            normalisation(hidden),
            nn.SiLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.SiLU(),
            zeroed(nn.Conv2d(hidden, 3, 3, padding=1)),
        )
        self.register_buffer("vectors", torch.zeros(public, *self.feature_shape))
        self.register_buffer("thumbnails", torch.zeros(public, 3, self.side, self.side, dtype=torch.uint8))

    def set_public(self, vectors: Float[Tensor, "N D"], images: Images) -> None:
        """Fill the bank with vectors, standardised as the decoder will be given them, and images of any size.

        Raises BadInput for another number of rows than `public`.
        """
        check_public(self.public, vectors, images)
        self.vectors.copy_(vectors)
        for start in range(0, self.public, 1024):
            small = F.interpolate(images[start : start + 1024], size=(self.side, self.side), mode="area")
            self.thumbnails[start : start + 1024] = (small * 255).round().to(torch.uint8)

    def forward(self, features: Features) -> Images:
        check_features(features, self.feature_shape, "RetrievalUpsampling")
        vectors = -features if self.mismatched else features
        return self._drawn(features, self._shown(vectors, self.neighbours(vectors)))

    def with_neighbours(self, features: Features, rows: Int[Tensor, "B k"]) -> Images:
        """Return the images (B, 3, S, S) of vectors where the public images at `rows` are shown: for controls."""
        return self._drawn(features, self._shown(features, rows))

    def _drawn(self, features: Features, shown: Tensor) -> Images:
        image = self.inner(features).clamp(_MARGIN, 1 - _MARGIN)
        logits = torch.logit(image.float()) + self.correct(torch.cat([image, shown], 1)).float()
        return F.interpolate(torch.sigmoid(logits), size=self.image_size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def neighbours(self, features: Features) -> Tensor:
        """Return the rows (B, k) of the bank that are shown for vectors; of a training decoder, drawn."""
        if not self.training:
            return nearest_rows(features, self.vectors, self.k, others=False)
        nearest = nearest_rows(features, self.vectors, 2 * self.k, others=True)
        order = torch.rand(nearest.shape, device=nearest.device).argsort(1)[:, : self.k]
        return nearest.gather(1, order.sort(1).values)

    def _shown(self, features: Tensor, rows: Tensor) -> Tensor:
        """(B, 4 k, 16, 16): the public images at rows (B, k) around 0, and how far each one's vector is."""
        images = self.thumbnails[rows].float().div(255).sub(0.5)  # (B, k, 3, side, side)
        far = (features[:, None] - self.vectors[rows]).abs().mean(2)
        shown = torch.cat([images.flatten(1, 2), far[:, :, None, None].expand(-1, -1, self.side, self.side)], 1)
        if self.training and self.dropped:
            shown = shown * (torch.rand(len(shown), 1, 1, 1, device=shown.device) >= self.dropped)
        return shown
