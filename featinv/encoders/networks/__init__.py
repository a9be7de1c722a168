"""Plain classifiers that our encoders and judges are made of; none of them is a torchvision model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
