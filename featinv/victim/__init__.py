"""images -> features: the frozen encoder with the publisher's defence behind it, and what it releases."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
