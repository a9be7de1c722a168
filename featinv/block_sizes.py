"""How many rows a frozen network is given at once: on a CPU by the bytes of its activations, not by count."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

BUDGET = 16 * 2**20
"""bytes of the largest activation of a block: what a CPU's caches and allocator serve well (docs/benchmarks.md)"""
LEAST_ROWS = 4
"""rows of a block at least, however large"""
FACTOR = 8
"""how many times as large as its input the largest activation of a network is taken to be that cannot be measured"""
LARGEST_FACTOR = 128
"""what is so small that it would fit even with an activation of so many times its input is not measured"""

_measured: "weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], int]]" = weakref.WeakKeyDictionary()


def block_rows(bytes_per_row: int, *, most: int, budget: int = BUDGET) -> int:
    """Return how many rows of so many bytes a block has: within the budget, at least 4, and never above `most`."""
    return min(most, max(LEAST_ROWS, budget // max(1, bytes_per_row)))


def rows_at_once(network: Callable[..., Any], rows: Tensor, *, most: int) -> int:
    """Return how many rows like `rows`, (B, ...), a network in eval mode is given at once without gradients.

    On an accelerator `most`. On a CPU `block_rows` of its largest activation, measured once for each network and shape
    of the rows, on zeros: the number depends on nothing else, so that the same pass has the same blocks everywhere.
    """
    if rows.device.type != "cpu":
        return most
    row = torch.zeros((1, *rows.shape[1:]), dtype=rows.dtype)
    if most * LARGEST_FACTOR * _bytes(row) <= BUDGET:
        return most
    return block_rows(_largest_activation(network, row), most=most)


def in_blocks(network: Callable[[Tensor], Tensor], rows: Tensor, *, size: int) -> Tensor:
    """Return network(rows) computed in blocks of at most `size` rows."""
    if len(rows) <= size:
        return network(rows)
    return torch.cat([network(block) for block in rows.split(size)])


def _largest_activation(network: Callable[..., Any], row: Tensor) -> int:
    if not isinstance(network, nn.Module):
        return FACTOR * _bytes(row)
    shapes = _measured.setdefault(network, {})
    shape = tuple(row.shape[1:])
    if shape not in shapes:
        shapes[shape] = _measure(network, row)
    return shapes[shape]


@torch.no_grad()
def _measure(network: nn.Module, row: Tensor) -> int:
    sizes = [_bytes(row)]

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        sizes.extend(_bytes(value) for value in (output if isinstance(output, tuple | list) else (output,)))

    # What a scripted network does inside is hidden from hooks.
    hidden = any(isinstance(module, torch.jit.ScriptModule) for module in network.modules())
    hooks = [] if hidden else [module.register_forward_hook(note) for module in network.modules()]
    try:
        if hooks:
            network(row)
    finally:
        for hook in hooks:
            hook.remove()
    return FACTOR * _bytes(row) if hidden else max(sizes)


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
