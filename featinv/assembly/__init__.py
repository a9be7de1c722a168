"""From settings to objects: the frozen dataclasses that recipes parse, and one function a part that builds it.

The library takes objects, the command line takes names; this package is where names end.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
