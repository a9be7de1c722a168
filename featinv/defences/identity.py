"""No defence: the vectors are released as the encoder made them."""

from typing import final

from jaxtyping import Float
from torch import Tensor

from featinv.defences.defence import Defence


@final
class Identity(Defence):
    """Release the features unchanged, (B, D) or (B, C, H, W); the control of every comparison of defences."""

    @property
    def is_identity(self) -> bool:
        """Always."""
        return True

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return rows
