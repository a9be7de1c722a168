"""The contracts of the plug-ins, as public checks for your own classes; featinv's tests run them on its exports.

Every check takes an object, tests the contracts of its signature on small synthetic images, and raises AssertionError
with a sentence that names the broken contract and the observed value. It needs no data, no network and no accelerator,
and does not change the object or torch's random state (`check_attack` fits the attack). docs/plug_ins.md lists the
contracts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
