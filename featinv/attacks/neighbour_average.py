"""The control that averages public images."""

from typing import final

from featinv.attacks.neighbours import NeighbourAttack
from featinv.errors import BadInput


@final
class NeighbourAverage(NeighbourAttack):
    """features -> the mean of the `k` public images with the nearest vectors (as for NearestNeighbour).

    Raises BadInput for k below 1, and in `fit` for more neighbours than public pairs.
    """

    def __init__(self, k: int = 16) -> None:
        super().__init__()
        if k < 1:
            raise BadInput(f"k: expected at least 1 neighbour, got {k}")
        self.k = k

    @property
    def neighbours(self) -> int:
        return self.k
