"""images (, features) -> logits: the adversaries of the GAN-extended attack, and the augmentation they look through."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
