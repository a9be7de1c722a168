"""The comparison in wandb: one run an attack, one for the scoreboard; the only package that knows wandb.

What is sent is first built as plain records (no wandb in them), then written by one guarded call: wandb may be missing,
offline or broken, and the run goes on.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
