"""Evaluation: scores attacks on a release by the rules of honest measurement, and says how sure each number is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
