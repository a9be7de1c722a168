"""The control that answers with a public picture."""

from typing import final

from featinv.attacks.neighbours import NeighbourAttack


@final
class NearestNeighbour(NeighbourAttack):
    """features -> the public picture whose vector is nearest (Euclidean, on standardised features, exact).

    The bar for identification: a real picture of the same kind. A saved one contains every public picture.
    """

    @property
    def neighbours(self) -> int:
        return 1
