"""Red-team image feature vectors: reconstruct images from them, and measure honestly what leaks.

The stub beside this file lists the public names. They load on first use, so that `import featinv` and every `--help`
stay light (no torch, torchvision, torchmetrics or wandb).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
