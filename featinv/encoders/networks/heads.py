"""Heads of a classifier: one linear layer whose columns are shared out among named classification tasks."""

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor
from torch.fx import Proxy

from featinv.errors import BadInput

# torch.fx runs a network on proxies when it is cut at a layer, so "a tensor" alone would not be true here.
Traced: TypeAlias = Tensor | Proxy


def head_sizes(heads: int | Mapping[str, int]) -> dict[str, int]:
    """Return heads as {task: classes}; a plain number is the classes of the one task "label".

    Raises BadInput where there is no head or one of under 2 or over 100,000 classes.
    """
    sizes = {"label": heads} if isinstance(heads, int) else {str(name): int(size) for name, size in heads.items()}
    if not sizes or not all(2 <= size <= 100_000 for size in sizes.values()):
        raise BadInput(f"heads: expected 2 to 100000 classes for at least one task, got {sizes}; give both")
    return sizes
