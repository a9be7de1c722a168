"""An ONNX graph: what it takes, where it ends, and how it is run by torch or by onnxruntime."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featinv.configuration import nearest
from featinv.errors import BadInput
from featinv.extras import library

from .named_models import LIBRARY_ERRORS, first_line
from .weight_files import check_file

LIMIT = 64 << 30
_FLOAT, _UINT8, _FLOAT16 = 1, 2, 10
"""numbers of onnx.TensorProto"""


@dataclass(frozen=True)
class Graph:
    """A graph that ends at one tensor: its model, input name, layout, side in pixels and fixed batch (None: any)."""

    model: Any
    input_name: str
    channels_last: bool
    side: int | None
    batch: int | None
    element: int
    output: str

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes pixels from 0 to 255 as uint8, and so normalises them itself."""
        return self.element == _UINT8


def read_graph(file: str | os.PathLike[str], output: str | None) -> Graph:
    """Read a graph and end it at `output` (any tensor of it; its first output when None).

    Raises BadInput for a file that is no ONNX, an unknown tensor (with the nearest), and an input that is no image.
    """
    onnx = library("onnx", "encoder onnx")
    path = check_file(file, limit=LIMIT)
    try:
        model = onnx.load(str(path))
        initialisers = {tensor.name for tensor in model.graph.initializer}
        # Old exporters list weights among the inputs.
        inputs = [item for item in model.graph.input if item.name not in initialisers]
    except (*LIBRARY_ERRORS, onnx.checker.ValidationError, _decode_error()) as error:
        raise BadInput(
            f"{path}: expected an ONNX graph, got a file that cannot be read ({first_line(error)})"
        ) from error
    if len(inputs) != 1 or not model.graph.node:
        names = ", ".join(item.name for item in inputs[:4]) or "none"
        raise BadInput(f"{path}: expected an ONNX graph with one input, the image, got {len(inputs)} ({names})")
    end = _end(path, model, output)
    _keep_only(onnx, model, inputs[0], end)
    return Graph(model, inputs[0].name, *_shape(path, inputs[0]), output=end)


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError  # comes with onnx

    return DecodeError


def _end(path: Path, model: Any, output: str | None) -> str:
    if output is None:
        return str(model.graph.output[0].name)
    names = [str(name) for node in model.graph.node for name in node.output if name]
    if output not in names:
        last = ", ".join(names[-4:])
        raise BadInput(
            f"output: {path} has no tensor {output!r}{nearest(output, names)}; its last ones: {last}; its outputs: "
            f"{', '.join(str(item.name) for item in model.graph.output)}"
        )
    return output


def _keep_only(onnx: Any, model: Any, image: Any, end: str) -> None:
    """Leave the nodes that lead to the tensor `end`, which becomes the only output."""
    needed, kept = {end}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    shapes = {item.name: item for item in (*model.graph.value_info, *model.graph.output)}
    result = shapes.get(end) or onnx.helper.make_tensor_value_info(end, _FLOAT, None)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = onnx.helper.make_graph(kept[::-1], model.graph.name or "graph", [image], [result], initializer=weights)
    model.graph.CopyFrom(graph)


def _shape(path: Path, image: Any) -> tuple[bool, int | None, int | None, int]:
    """Return whether channels come last, the side, the fixed batch and the element type of the input."""
    kind = image.type.tensor_type
    dims = [int(dim.dim_value) or None for dim in kind.shape.dim]
    if len(dims) != 4 or (dims[1] != 3 and dims[3] != 3 and None not in (dims[1], dims[3])):
        raise BadInput(
            f"{path}: expected an input of RGB images, (N, 3, H, W) or (N, H, W, 3), got {dims} for {image.name!r}"
        )
    if kind.elem_type not in (_FLOAT, _UINT8, _FLOAT16):
        raise BadInput(f"{path}: expected an input of float32, float16 or uint8, got ONNX's type {kind.elem_type}")
    last = dims[1] != 3 and dims[3] == 3
    height, width = (dims[1], dims[2]) if last else (dims[2], dims[3])
    if height != width and None not in (height, width):
        raise BadInput(f"{path}: expected an input of square images, got {height} x {width} px; wrap it as a black box")
    return last, height or width, dims[0], int(kind.elem_type)


class Converted(nn.Module):
    """The graph as a torch module: normalised RGB images (N, 3, S, S) -> its output; differentiable."""

    def __init__(self, graph: Graph, *, bgr: bool) -> None:
        super().__init__()
        self.network: nn.Module = library("onnx2torch", "gradients through ONNX").convert(graph.model).eval()
        self.bgr, self.channels_last, self.in_half = bgr, graph.channels_last, graph.element == _FLOAT16
        self.batch: int | None = None
        """how many images it is given at once, no more and no fewer, where the graph has that built in"""

    def forward(self, images: Tensor) -> Tensor:
        """Return the graph's output, one row an image."""
        images = arranged(images, bgr=self.bgr, channels_last=self.channels_last)
        images = images.half() if self.in_half else images
        output = in_fixed_batches(self.network, images, self.batch)
        return output.float() if self.in_half else output


class Session:
    """The graph in onnxruntime: normalised RGB images (N, 3, S, S) -> its output; no gradient passes."""

    def __init__(self, graph: Graph, *, bgr: bool) -> None:
        runtime = library("onnxruntime", "encoder onnx as a black box")
        self.errors = _errors_of(runtime)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        try:
            self.session = runtime.InferenceSession(
                graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except self.errors as error:
            raise BadInput(f"encoder onnx: onnxruntime cannot load the graph: {first_line(error)}") from error
        self.graph, self.bgr, self.batch = graph, bgr, graph.batch

    def __call__(self, images: Tensor) -> Tensor:
        """Return the graph's output, one row an image."""
        images = arranged(images, bgr=self.bgr, channels_last=self.graph.channels_last)
        return in_fixed_batches(self._run, images, self.batch)

    def _run(self, images: Tensor) -> Tensor:
        kind = {_FLOAT: np.float32, _UINT8: np.uint8, _FLOAT16: np.float16}[self.graph.element]
        fed = {self.graph.input_name: np.ascontiguousarray(images.numpy().astype(kind))}
        try:
            answer = self.session.run([self.graph.output], fed)[0]
        except self.errors as error:
            raise RuntimeError(f"onnxruntime: {first_line(error)}") from error
        return torch.from_numpy(np.array(answer))


def _errors_of(runtime: Any) -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises: classes of its own, without a common one."""
    state = vars(runtime.capi.onnxruntime_pybind11_state).values()
    return (*LIBRARY_ERRORS, *(kind for kind in state if isinstance(kind, type) and issubclass(kind, Exception)))


def arranged(images: Tensor, *, bgr: bool, channels_last: bool) -> Tensor:
    """Return RGB images (N, 3, S, S) with their channels in the order and at the place that a graph takes."""
    images = images.flip(1) if bgr else images
    return images.permute(0, 2, 3, 1) if channels_last else images


def in_fixed_batches(run: Callable[[Tensor], Any], images: Tensor, batch: int | None) -> Tensor:
    """Run images in batches of exactly `batch`, the last one filled up with black ones; all at once where None."""
    if batch is None:
        return _row_each(run(images), len(images))
    rows = []
    for part in images.split(batch):
        missing = batch - len(part)
        filled = torch.cat([part, part.new_zeros((missing, *part.shape[1:]))]) if missing else part
        rows.append(_row_each(run(filled), batch)[: len(part)])
    return torch.cat(rows)


def _row_each(output: Any, count: int) -> Tensor:
    """Return a tensor with one row an image: some graphs return (D,) for a single one."""
    output = output[0] if isinstance(output, tuple | list) else output
    return output[None] if count == 1 and output.ndim == 1 else output


def batches_freely(run: Callable[[Tensor], Tensor], images: Tensor) -> bool:
    """Say whether a graph whose input names a fixed batch gives two images what it gives each alone."""
    try:
        together = run(images)
        alone = torch.cat([run(image[None]) for image in images])
    except LIBRARY_ERRORS:
        return False
    return together.shape == alone.shape and torch.allclose(together, alone, rtol=1e-3, atol=1e-5)
