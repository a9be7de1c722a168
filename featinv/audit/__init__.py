"""The publisher's one command: an attack suite within a budget, a level, a report, and a gate."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
