"""Libraries that only some features need: imported when first used, or the line that installs them."""

import importlib
from types import ModuleType

from featinv.errors import BadInput

EXTRAS = {
    "timm": ("timm", "encoders timm:NAME"),
    "open_clip": ("open_clip_torch", "encoders open_clip:NAME,pretrained=TAG"),
    "transformers": ("transformers", "encoders transformers:NAME"),
    "huggingface_hub": ("huggingface_hub", "sharing attacks with fi.hub"),
    "onnx": ("onnx", "encoders onnx:FILE"),
    "onnx2torch": ("onnx2torch", "gradients through encoders onnx:FILE"),
    "onnxruntime": ("onnxruntime", "encoders onnx:FILE whose graph does not convert"),
}
"""module -> (its distribution, what needs it)"""

_EXTRA_OF = {"shtab": "completion", "huggingface_hub": "hub", "onnx2torch": "onnx", "onnxruntime": "onnx"}


def library(module: str, purpose: str) -> ModuleType:
    """Import a library of an optional extra. Raises BadInput with the pip line, or with what broke its import."""
    package = module.partition(".")[0]
    extra = _EXTRA_OF.get(package, package)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{purpose}: needs {error.name or module}, which is not installed; pip install 'featinv[{extra}]'"
        ) from error
    except (ImportError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(
            f"{purpose}: {module} is installed but cannot be imported ({first}); install it again together with torch: "
            f"pip install 'featinv[{extra}]'"
        ) from error
