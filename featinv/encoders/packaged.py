"""Encoders whose weights come with the package."""

from pathlib import Path

from .encoder import Encoder
from .judge_files import saved

_TINY = Path(__file__).parent / "weights" / "tiny.safetensors"


def tiny(*, layer: str = "avgpool") -> Encoder:
    """Return the packaged small ResNet (input 32 px, 64-d pooled features), trained on `featinv.data.scenes`.

    Its metadata is docs/encoder_tiny.md, its recipe recipes/train_tiny.py. Raises BadInput for an unknown layer.
    """
    return saved(_TINY, layer=layer)
