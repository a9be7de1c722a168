"""The contracts of the plug-ins, as public checks: run on your own class what we run on ours.

Every check takes an object, tries the contracts of its arrow on small synthetic images, and raises AssertionError with
a sentence that says which contract is broken and what was seen. It needs no data, network or accelerator, and leaves
the object and torch's random state as they were (`check_attack` fits the attack). docs/plug_ins.md lists the contracts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
