"""Images to (features, images) pairs: extraction, the on-disk store, bare vectors from elsewhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
