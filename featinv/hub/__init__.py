"""Sharing saved attacks on the Hugging Face Hub: only when called, private unless asked otherwise, without pickle."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
