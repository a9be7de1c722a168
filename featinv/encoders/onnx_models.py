"""An ONNX graph as an encoder: differentiable where it converts to torch, a black box where it does not."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from featinv.errors import BadInput
from featinv.files import read_json
from featinv.resize_crop import Interpolation, ResizeCrop

from .black_box import BlackBox
from .encoder import Encoder
from .fingerprints import probe_images
from .image_processors import Processing, read_processing
from .named_models import LIBRARY_ERRORS, first_line
from .onnx_graphs import Converted, Graph, Session, batches_freely, read_graph
from .readouts import Kind, Readout

ASSUMED = (
    "an ONNX graph does not say how pixels are normalised, and there is no preprocessor_config.json beside it: RGB in "
    "[0, 1] was assumed; say mean= and std= (and scale=255 and bgr=true where that is so), as the publisher has them"
)
_CLOSE = 1e-3
"""largest difference between torch and onnxruntime, of the largest number"""


def onnx(
    file: str | os.PathLike[str],
    *,
    output: str | None = None,
    input_size: int | None = None,
    resize: int = 0,
    fit: Literal["stretch", "crop"] | None = None,
    interpolation: Interpolation | None = None,
    mean: Sequence[int | float] | None = None,
    std: Sequence[int | float] | None = None,
    scale: int | float = 1,
    bgr: bool = False,
    family: str = "unknown",
    trained_on: str = "",
    readout: Kind | None = None,
    gradients: bool = True,
) -> Encoder | BlackBox:
    """Return an ONNX graph as an encoder that ends at `output`, any tensor of it (its first output when None).

    With `gradients` an `Encoder` through onnx2torch, held against onnxruntime where that is installed; a `BlackBox`
    through onnxruntime where the graph does not convert (its `gradient_stop` names the operator) or takes uint8. A
    graph made for a fixed batch is given exactly that many images. `readout` chooses among tokens, or turns maps with
    their channels last ("grid"). The graph is fed
    (scale * pixels - mean) / std, RGB pixels in [0, 1] (BGR with `bgr`; mean and std in the order of RGB). What is not
    given of resizing and normalisation is read from a preprocessor_config.json beside the file or a folder above; else
    it is assumed, and said in `assumed`. Raises BadInput for a file, tensor or input that cannot be used, and where
    neither runtime runs the graph.
    """
    graph = read_graph(file, output)
    beside = _processing_beside(Path(file))
    resize_crop = _resize_crop(graph, beside, input_size, resize, fit, interpolation)
    means, stds, assumed = _normalisation(graph, beside, mean, std, scale)
    read = None if readout is None else Readout(readout)
    name = f"onnx/{Path(file).name}{'' if output is None else f'/{output}'}"
    fingerprint = _fingerprint(graph, resize_crop, means, stds, bgr=bgr, readout=readout)
    why = "uint8 pixels go in, and gradients do not pass through whole numbers" if graph.takes_bytes else ""
    why = why or ("gradients=false was asked for" if not gradients else "")
    stated: dict[str, Any] = {"name": name, "family": family, "trained_on": trained_on, "input_size": resize_crop}
    stated |= {"fingerprint": fingerprint, "assumed": assumed}
    if not why:
        converted, why = _converted(graph, resize_crop.size, bgr)
        if converted is not None:
            return Encoder(converted, mean=means, std=stds, readout=read, **stated)
    try:
        session = _session(graph, resize_crop.size, bgr)
    except BadInput as error:
        raise BadInput(f"{error} (needed because {why})") from error
    return BlackBox(_Fed(session, graph, means, stds, read), takes="tensor", why=why, **stated)


class _Fed:
    """uint8 images (B, 3, S, S) -> what a session answers to them, normalised unless the graph takes bytes."""

    def __init__(
        self,
        session: Session,
        graph: Graph,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        readout: Readout | None,
    ) -> None:
        self.session, self.bytes, self.readout = session, graph.takes_bytes, readout
        self.mean, self.std = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (mean, std))

    def __call__(self, pixels: Tensor) -> Tensor:
        answer = self.session(pixels if self.bytes else (pixels.float() / 255 - self.mean) / self.std).float()
        return answer if self.readout is None else self.readout(answer, name="onnx")


def _converted(graph: Graph, side: int, bgr: bool) -> tuple[Converted | None, str]:
    """Return the graph as a torch module, or why there is none."""
    try:
        converted = Converted(graph, bgr=bgr).requires_grad_(False)
    except BadInput as error:
        return None, str(error)
    except LIBRARY_ERRORS as error:
        return None, f"onnx2torch does not convert it: {first_line(error)}"
    images = probe_images(side)
    if graph.batch is not None and not batches_freely(converted, images):
        converted.batch = graph.batch
    try:
        with torch.no_grad():
            ours = converted(images)
        theirs = _session(graph, side, bgr)(images)
    except BadInput:
        return converted, ""  # there is no onnxruntime to hold it against
    except LIBRARY_ERRORS as error:
        return None, f"onnx2torch converts it, but the result fails: {first_line(error)}"
    largest = max(float(theirs.abs().max()), 1e-12)
    if ours.shape != theirs.shape or float((ours - theirs).abs().max()) > _CLOSE * largest:
        return None, "onnx2torch converts it to something else: its outputs differ from those of onnxruntime"
    return converted, ""


def _session(graph: Graph, side: int, bgr: bool) -> Session:
    """Return a session that takes any number of images where the graph allows it, else its fixed number."""
    if graph.batch is None:
        return Session(graph, bgr=bgr)
    free = _with_free_batch(graph)
    try:
        session = Session(free, bgr=bgr)
        probe = probe_images(side) * (255 if graph.takes_bytes else 1)
        if batches_freely(session, probe):
            return session
    except BadInput:
        pass  # a graph of another kind: it is run as it stands, or refused below
    return Session(graph, bgr=bgr)


def _with_free_batch(graph: Graph) -> Graph:
    model = type(graph.model)()
    model.CopyFrom(graph.model)
    for item in (*model.graph.input, *model.graph.output):
        dims = item.type.tensor_type.shape.dim
        if len(dims):
            dims[0].dim_param = "images"
    return replace(graph, model=model, batch=None)


def _processing_beside(file: Path) -> Processing | None:
    """Return what a preprocessor_config.json says that lies where exporters put it; None where there is none."""
    for folder in (file.parent, file.parent.parent):
        config = folder / "preprocessor_config.json"
        if config.is_file():
            try:
                return read_processing(read_json(config))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BadInput(f"{config}: cannot be read ({error!r}); say mean=, std= and input_size=") from error
    return None


def _resize_crop(
    graph: Graph,
    beside: Processing | None,
    input_size: int | None,
    resize: int,
    fit: Literal["stretch", "crop"] | None,
    interpolation: Interpolation | None,
) -> ResizeCrop:
    stated = None if beside is None else beside.resize_crop
    side = input_size or graph.side or (stated and stated.size)
    if side is None:
        raise BadInput("input_size: the graph takes images of any side; say input_size= in pixels")
    if graph.side is not None and side != graph.side:
        raise BadInput(f"input_size: expected the {graph.side} px that the graph takes, got {side}")
    if stated is not None and stated.size == side and not resize and fit is None and interpolation is None:
        return stated
    return ResizeCrop(side, resize, fit or ("crop" if resize else "stretch"), interpolation or "bilinear")


def _normalisation(
    graph: Graph,
    beside: Processing | None,
    mean: Sequence[int | float] | None,
    std: Sequence[int | float] | None,
    scale: int | float,
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return mean and deviation of pixels in [0, 1], and what was assumed."""
    if graph.takes_bytes:
        if mean is not None or std is not None or scale != 1:
            raise BadInput("mean, std, scale: the graph takes uint8 pixels and normalises them itself; leave them out")
        return (0.0,) * 3, (1.0,) * 3, ""
    if not scale > 0:
        raise BadInput(f"scale: expected a number above 0 (1 or 255), got {scale}")
    if mean is None and std is None and scale == 1 and beside is not None:
        return beside.mean, beside.std, ""
    assumed = ASSUMED if mean is None and std is None and scale == 1 else ""
    means, stds = list(mean or (0, 0, 0)), list(std or (1, 1, 1))
    if len(means) != 3 or len(stds) != 3 or min(stds) <= 0:
        raise BadInput(f"mean, std: expected three numbers each, std above 0, got {means} and {stds}")
    return tuple(x / scale for x in means), tuple(x / scale for x in stds), assumed


def _fingerprint(
    graph: Graph,
    resize_crop: ResizeCrop,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    bgr: bool,
    readout: Kind | None,
) -> str:
    """Return a sha256 over the nodes and weights that lead to the output, and over what they are fed."""
    setting = [graph.output, resize_crop.record(), list(mean), list(std), bgr, readout]
    digest = hashlib.sha256(json.dumps(setting, sort_keys=True).encode())
    digest.update(graph.model.SerializeToString(deterministic=True))
    return digest.hexdigest()
