"""Training decoders: settings, a step, a short loop, and what watches it (history, validation, checkpoints, progress).

The only package besides `processes` that imports Accelerate.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
