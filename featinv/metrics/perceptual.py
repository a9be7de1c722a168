"""Perceptual distances learnt from human judgements; nothing is downloaded."""

import functools
import pickle
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.image.dists import DISTSNetwork
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision import models

from featinv.errors import BadInput
from featinv.metrics.value_range import ImageTensor, checked_pair
from featinv.types import Images, PerImage

SMALLEST = 64
"""Smaller images are enlarged to this side: for 32 pixels the last maps of these networks are 1 or 2 pixels wide."""
NETWORKS = {"lpips": "alexnet", "dists": "vgg16"}
"""The torchvision classifier of each metric."""


def lpips(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """LPIPS of each image, version 0.1 with AlexNet: 0 for a perfect copy (arXiv:1801.03924, equation 1).

    Images are given in [0, 1] and passed to the network in [-1, 1], as in its training; those below 64 pixels a side
    are enlarged to 64 (bilinear). Everything runs on the CPU; the ImageNet weights are those in torch's cache.

    Raises BadInput where these are missing, on different shapes, and on values that are not in [0, 1].
    """
    ours, theirs = map(_large_enough, checked_pair(reconstruction, original))
    with torch.no_grad():
        distance = network("lpips")(ours, theirs, normalize=True)
    return torch.as_tensor(distance).reshape(len(ours))


def dists(reconstruction: ImageTensor, original: ImageTensor) -> PerImage:
    """DISTS of each image: structure and texture in the maps of VGG-16, 0 for a perfect copy (arXiv:2004.07728).

    Sizes, weights and errors as for `lpips`. The authors first reduce images to 256 pixels; here they keep their size.
    """
    ours, theirs = map(_large_enough, checked_pair(reconstruction, original))
    with torch.no_grad():
        distance = network("dists")(ours, theirs)
    return torch.as_tensor(distance).clone().reshape(len(ours))


def network(metric: str) -> nn.Module:
    """Return the network of `lpips` or `dists`, built once. Raises BadInput where its weights are missing or broken."""
    name = NETWORKS[metric]
    entry = models.get_model_weights(name)["IMAGENET1K_V1"]
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    # Without the file torchvision would try to download it, and hang on a machine without a network.
    if not file.is_file():
        raise BadInput(
            f"{metric}: the ImageNet weights of {name} are not at {file}; get {entry.url} on a machine with a network "
            "and put it there, or do without this metric"
        )
    return _built(metric, str(file))


@functools.cache
def _built(metric: str, file: str) -> nn.Module:
    try:
        if metric == "lpips":
            built: nn.Module = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).net
        else:
            built = DISTSNetwork()
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise BadInput(f"{metric}: {file}: expected torchvision's ImageNet weights, got something else") from error
    return built.float().eval().requires_grad_(False)


def _large_enough(images: Images) -> Float[Tensor, "B 3 h w"]:
    height, width = images.shape[2:]
    scale = max(1.0, SMALLEST / min(height, width))
    if scale == 1.0:
        return images.float()
    size = (round(scale * height), round(scale * width))
    # Rounding may give an enlarged pixel a value slightly above 1, which torchmetrics refuses.
    return functional.interpolate(images.float(), size=size, mode="bilinear", align_corners=False).clamp(0, 1)
