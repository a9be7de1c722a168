"""Which layers of a network sum up its resolutions."""

from typing import Any

from torch import Tensor, nn


def last_at_each_size(network: nn.Module, image: Tensor, last: str | None) -> list[str]:
    """Return the last module that gives a map of each size above one pixel, until the layer `last` is done.

    In the order in which the sizes appear; the image is square, (1, 3, S, S). A module that runs twice in a pass, as
    a shared ReLU, is left out.
    """
    sizes: dict[str, int] = {}  # in the order in which modules finish
    repeated = set()

    def note(name: str, output: Any) -> None:
        if name in sizes:
            repeated.add(name)
            del sizes[name]
        # Of a square image a map is square too, unless its channels come last.
        is_map = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]
        sizes[name] = output.shape[2] if is_map else 0

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
        for name, module in network.named_modules()
        if name
    ]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    finished = list(sizes)
    if last is not None:
        # A layer may be an operation inside a module: then that module ends the list.
        around = [name for name in finished if last == name or last.startswith(f"{name}.")]
        finished = finished[: finished.index(max(around, key=len)) + 1] if around else finished
    chosen = {sizes[name]: name for name in finished if name not in repeated and sizes[name] > 1}
    return list(chosen.values())
