"""(reconstruction, original) -> (B,): per-image numbers that training makes small; whoever calls reduces."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
