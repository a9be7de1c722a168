"""Cutting a network at named layers, by torch.fx where it can be traced and by forward hooks where it cannot."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from featinv.errors import BadInput

# What torch.fx raises on code that depends on values (TraceError is a ValueError) or that proxies cannot run.
_UNTRACEABLE = (ValueError, TypeError, RuntimeError, AttributeError, NotImplementedError, KeyError, IndexError)


def compiled(network: nn.Module) -> bool:
    """Say whether TorchScript runs a part of the network: it takes no hooks, and torch.fx does not see inside."""
    return any(isinstance(module, torch.jit.ScriptModule) for module in network.modules())


def layer_names(network: nn.Module) -> list[str]:
    """Return every name a network can be cut at, in order of evaluation (in order of definition if untraceable)."""
    if compiled(network):
        return []
    try:
        nodes = get_graph_node_names(network, suppress_diff_warning=True)[1]
    except _UNTRACEABLE:
        return [name for name, _ in network.named_modules() if name]
    stems = {node.rpartition(".")[0]: None for node in nodes}
    return list(dict.fromkeys([*nodes, *(stem for stem in stems if stem)]))


def cut(network: nn.Module, layers: Sequence[str], *, name: str) -> nn.Module:
    """Return a module images -> {layer: output} that shares the network's weights and stops after the last layer.

    Raises BadInput for an unknown layer, with the nearest names and all top-level ones, and for a scripted network.
    """
    if compiled(network):
        raise BadInput(
            f"layer: expected None for {name}, a scripted or traced network, which has no layers to cut at, got "
            f"{', '.join(layers)}; give the nn.Module that it was made of, or use its output"
        )
    try:
        nodes = get_graph_node_names(network, suppress_diff_warning=True)[1]
    except _UNTRACEABLE:
        _check_layers(layers, [part for part, _ in network.named_modules() if part], name)
        return _Hooked(network, layers)
    _check_layers(layers, nodes, name)
    extractor = create_feature_extractor(network, list(layers), suppress_diff_warning=True)
    for graph in (extractor.train_graph, extractor.eval_graph):
        _keep_outputs(graph, extractor)
    extractor.recompile()
    return extractor


def _keep_outputs(graph: fx.Graph, owner: nn.Module) -> None:
    """Copy an output that a later layer changes in place: a ReLU does so with the convolution before it."""
    end = next(node for node in graph.nodes if node.op == "output")
    kept = dict(end.args[0])
    for layer, node in kept.items():
        if any(_changes_in_place(user, owner) for user in node.users):
            with graph.inserting_after(node):
                kept[layer] = graph.call_method("clone", (node,))
    end.args = (kept,)


def _changes_in_place(node: fx.Node, owner: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(owner.get_submodule(str(node.target)), "inplace", False))
    return bool(node.kwargs.get("inplace", False)) or (node.op == "call_method" and str(node.target).endswith("_"))


def _check_layers(layers: Sequence[str], names: Sequence[str], name: str) -> None:
    for layer in layers:
        if any(node == layer or node.startswith(f"{layer}.") for node in names):
            continue
        near = difflib.get_close_matches(layer, names, n=5, cutoff=0.5)
        top = dict.fromkeys(node.partition(".")[0] for node in names)
        raise BadInput(
            f"layer: expected a layer of {name}, got {layer!r}; "
            f"{'nearest: ' + ', '.join(near) + '; ' if near else ''}top-level: {', '.join(top)}"
        )


class _Hooked(nn.Module):
    """Runs the whole network and keeps what the named modules returned."""

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)

    def forward(self, x: Any) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        modules = dict(self.network.named_modules())
        chosen = {layer: modules[layer] for layer in self.layers}
        _run_noting(self.network, x, chosen, lambda layer, output: kept.update({layer: _copy(output)}))
        return kept


def _run_noting(
    network: nn.Module, x: Any, modules: Mapping[str, nn.Module], note: Callable[[str, Any], object]
) -> None:
    """Run the network, and call `note` with the name and the output of each of these modules as it is done."""
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
        for name, module in modules.items()
    ]
    try:
        network(x)
    finally:
        for handle in handles:
            handle.remove()


def _copy(output: Any) -> Any:
    """Return a copy that no later layer can change in place."""
    return output.clone() if isinstance(output, Tensor) else output


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

    _run_noting(network, image, {name: module for name, module in network.named_modules() if name}, note)
    chosen = {sizes[name]: name for name in _until(list(sizes), last) if name not in repeated and sizes[name] > 1}
    return list(chosen.values())


def token_blocks(network: nn.Module, image: Tensor, last: str | None, *, most: int = 4) -> list[str]:
    """Return evenly spaced blocks that give tokens, the last one among them, until the layer `last` is done.

    Tokens are (1, T, C), or (1, h, w, C) on a square grid. Blocks are the outermost members of lists and sequences of
    modules, as transformers have them.
    """
    modules = dict(network.named_modules())
    members = [n for n in modules if n and isinstance(modules[n.rpartition(".")[0]], nn.ModuleList | nn.Sequential)]
    finished: dict[str, bool] = {}  # name: whether it gave tokens, in the order in which modules finish

    def note(name: str, output: Any) -> None:
        finished[name] = name in members and is_tokens(output) and output.shape[0] == 1 and output.shape[1] > 1

    _run_noting(network, image, {name: module for name, module in modules.items() if name}, note)
    givers = [name for name in _until(list(finished), last) if finished[name]]
    blocks = [name for name in givers if not any(name.startswith(f"{other}.") for other in givers)]
    count = min(most, len(blocks))
    return [blocks[(place + 1) * len(blocks) // count - 1] for place in range(count)]


def is_tokens(output: Any) -> bool:
    """Say whether an output is tokens (B, T, C), or (B, h, w, C) of a square image, whose channels come last."""
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        return False
    return output.ndim == 3 or output.shape[1] == output.shape[2] != output.shape[3]


def _until(finished: list[str], last: str | None) -> list[str]:
    """Return the modules that finish no later than the layer `last`, or the module that it is an operation of."""
    around = [] if last is None else [name for name in finished if last == name or last.startswith(f"{name}.")]
    return finished[: finished.index(max(around, key=len)) + 1] if around else finished
