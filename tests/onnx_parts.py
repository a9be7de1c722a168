"""Small ONNX graphs, built node by node, and what they compute by plain torch."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

SIDE = 16
_GENERATOR = np.random.default_rng(4)
KERNEL = _GENERATOR.normal(0, 0.4, (6, 3, 3, 3)).astype(np.float32)
WEIGHT = _GENERATOR.normal(0, 0.7, (6, 5)).astype(np.float32)


def graph(
    path: Path,
    *,
    batch: int | str = "images",
    channels_last: bool = False,
    built_in_batch: bool = False,
    last: str = "Softmax",
    element: int = TensorProto.FLOAT,
    side: int | str = SIDE,
) -> Path:
    """Write convolution, ReLU, mean, "pool", a matrix and `last`; `built_in_batch` reshapes to one fixed batch."""
    shape = [batch, side, side, 3] if channels_last else [batch, 3, side, side]
    nodes, value = [], "image"
    weights = {"kernel": KERNEL, "weight": WEIGHT}
    if element == TensorProto.UINT8:
        nodes.append(helper.make_node("Cast", [value], ["floats"], to=TensorProto.FLOAT))
        weights["scale"] = np.float32(255)
        nodes.append(helper.make_node("Div", ["floats", "scale"], ["scaled"]))
        value = "scaled"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [value], ["first"], perm=[0, 3, 1, 2]))
        value = "first"
    nodes.append(helper.make_node("Conv", [value, "kernel"], ["maps"], kernel_shape=[3, 3], strides=[2, 2]))
    nodes.append(helper.make_node("Relu", ["maps"], ["active"]))
    nodes.append(helper.make_node("GlobalAveragePool", ["active"], ["mean"]))
    weights["shape"] = np.array([batch if built_in_batch else -1, 6], dtype=np.int64)
    nodes.append(helper.make_node("Reshape", ["mean", "shape"], ["pool"]))
    nodes.append(helper.make_node("MatMul", ["pool", "weight"], ["scores"]))
    nodes.append(helper.make_node(last, ["scores"], ["end"], axis=1))
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    image = helper.make_tensor_value_info("image", element, shape)
    end = helper.make_tensor_value_info("end", TensorProto.FLOAT, [batch, 5])
    model = helper.make_model(
        helper.make_graph(nodes, "small", [image], [end], initializer=tensors),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def pooled(normalised: Tensor) -> Tensor:
    """Return the tensor "pool" of the graph, (B, 6), of what it is fed, (B, 3, S, S)."""
    return F.conv2d(normalised, torch.from_numpy(KERNEL), stride=2).relu().mean((2, 3))
