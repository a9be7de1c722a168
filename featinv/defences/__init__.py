"""features -> features: how a publisher transforms the vectors before releasing them.

A defence is a plain `nn.Module` with one tensor in and one tensor out. It is the identity at zero strength, ignores
train and eval mode, and draws its randomness from torch's global generator, which `Victim.publish` seeds. Defences are
chained with `torch.nn.Sequential`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
