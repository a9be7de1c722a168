"""The CIFAR ResNets of He et al. from a safetensors file: the usual target, and its sibling as a diagnostic judge."""

import os

from .encoder import Encoder
from .judging import Judge
from .networks import CifarResNet
from .weight_files import load_weights, read_safetensors

# The published weights were trained with ImageNet's statistics.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar_resnet(weights: str | os.PathLike[str], *, depth: int = 20, layer: str = "avgpool") -> Encoder:
    """Return the CIFAR-10 ResNet of this depth (6n+2), cut at a layer (avgpool: 64-d), with weights from a file.

    Architecture of arXiv:1512.03385 section 4.2 with option-A shortcuts; input 32 px, normalised with ImageNet's mean
    and deviation as the published weights want it. Raises BadInput for another depth, layer or file.
    """
    return Encoder(
        _read(weights, depth),
        name=f"cifar-resnet{depth}/{layer}",
        family="resnet",
        trained_on="CIFAR-10",
        layer=layer,
        input_size=32,
        mean=_MEAN,
        std=_STD,
    )


def cifar_judge(weights: str | os.PathLike[str], *, depth: int = 56) -> Judge:
    """Return a CIFAR-10 ResNet as a judge: a SIBLING of `cifar_resnet`, so only ever a marked diagnostic beside others.

    Raises BadInput for another depth or file.
    """
    return Judge(
        _read(weights, depth),
        name=f"cifar-resnet{depth}",
        family="resnet",
        trained_on="CIFAR-10",
        classes=_CLASSES,
        input_size=32,
        mean=_MEAN,
        std=_STD,
    )


def _read(weights: str | os.PathLike[str], depth: int) -> CifarResNet:
    network = CifarResNet(depth, len(_CLASSES))
    load_weights(network, read_safetensors(weights)[0], source=weights)
    return network
