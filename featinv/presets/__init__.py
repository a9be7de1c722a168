"""Known attacks by name, unfitted, each setting with its origin: places to start from, not results.

"Stated": by the source named. "Adapted": how, and from what. "Ours": the source has no such thing. "Not re-read": known
from memory or a summary, because the source could not be opened. In all but Listik's, ours are the decoder
(`Upsampling`), the moving average of its weights, the held-out pairs, and a budget that fits a desk and not a paper.
First weights of decoder and discriminator are drawn from `training.seed`. A `training` replaces all of a preset's.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
