"""The control that answers with a public image."""

from typing import final

from featinv.attacks.neighbours import NeighbourAttack


@final
class NearestNeighbour(NeighbourAttack):
    """features -> the public image whose vector is nearest (Euclidean, on standardised features, exact).

    The bar for identification: a real image of the same kind. A saved one contains every public image.
    """

    @property
    def neighbours(self) -> int:
        return 1
