"""Images: an embedded procedural set, folders, array files, CIFAR-10, and whether public and private differ."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
