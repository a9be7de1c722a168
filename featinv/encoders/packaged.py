"""Encoders whose weights come with the package."""

from pathlib import Path

from .encoder import Encoder
from .judge_files import read_classifier

_TINY = Path(__file__).parent / "weights" / "tiny.safetensors"


def tiny(*, layer: str = "avgpool") -> Encoder:
    """Return the packaged small ResNet (input 32 px, 64-d pooled features), trained on `featinv.data.scenes`.

    Its card is docs/encoder_tiny.md, its recipe recipes/train_tiny.py. Raises BadInput for an unknown layer.
    """
    network, card = read_classifier(_TINY)
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
