"""The publisher's one command: the ladder of attacks within a budget, a level, a report, and an answer for a gate."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
