"""Encoders (images -> features, the frozen networks under attack) and judges (independent networks that only score)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
