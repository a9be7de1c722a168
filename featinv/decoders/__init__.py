"""features -> images: generator networks, built from a feature shape, an image size and their own keywords."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
