"""Inception features for the published FID and KID; nothing is downloaded."""

import functools
import pickle
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.image.fid import NoTrainInceptionV3

from featinv.errors import BadInput
from featinv.metrics.value_range import rounded
from featinv.types import Images

WIDTH = 2048
"""Width of the pooled features that FID and KID are defined on."""
_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"


def inception_network() -> nn.Module:
    """Return the Inception network of the published FID (torch-fidelity's port of TensorFlow's weights), built once.

    Raises BadInput where the package torch-fidelity or the weights in torch's cache are missing or broken.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(_URL).name
    if not file.is_file():
        raise BadInput(
            f"fid, kid: the Inception weights are not at {file}; get {_URL} on a machine with a network and put it "
            "there, or use judge_fd and judge_kd"
        )
    return _built(str(file))


def inception_features(images: Images) -> Float[Tensor, "B D"]:
    """Return the 2,048 pooled Inception features of images in [0, 1], rounded to 8 bits as the published FID does."""
    with torch.no_grad():
        features = inception_network()((rounded(images) * 255).round().to(torch.uint8))
    return torch.as_tensor(features).reshape(len(images), -1).float()


@functools.cache
def _built(file: str) -> nn.Module:
    try:
        return NoTrainInceptionV3("inception-v3-compat", [str(WIDTH)], feature_extractor_weights_path=file).eval()
    except ModuleNotFoundError as error:
        raise BadInput("fid, kid: need the package torch-fidelity; pip install torch-fidelity") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise BadInput(f"fid, kid: {file}: expected torch-fidelity's Inception weights, got something else") from error
