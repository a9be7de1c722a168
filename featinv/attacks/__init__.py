"""Attacks, features -> images: the controls that any attack must beat, the closed forms, and the trained decoder.

Every attack is used alike: `attack.fit(pairs)`, then `attack.reconstruct(features)`. The export list in the stub beside
this file is the registry; the contract tests walk over it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
