"""Encoders whose weights come with the package."""

from pathlib import Path

from .encoder import Encoder
from .networks import SmallResNet
from .weight_files import load_weights, read_json_metadata, read_safetensors

_WEIGHTS = Path(__file__).parent / "weights" / "tiny.safetensors"


def tiny(*, layer: str = "avgpool") -> Encoder:
    """Return the packaged small ResNet (input 32 px, 64-d pooled features), trained on `featinv.data.scenes`.

    Its card is docs/encoder_tiny.md. Raises BadInput for an unknown layer.
    """
    tensors, metadata = read_safetensors(_WEIGHTS)
    card = read_json_metadata(metadata, "judge", source=_WEIGHTS)
    network = SmallResNet(**card["args"])
    load_weights(network, {key: value.float() for key, value in tensors.items()}, source=_WEIGHTS)
    return Encoder(
        network,
        name=f"tiny/{layer}",
        family=card["family"],
        trained_on=card["trained_on"],
        layer=layer,
        input_size=card["input_size"],
        mean=card["mean"],
        std=card["std"],
    )
