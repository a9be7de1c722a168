from .sharing import load as load
from .sharing import push as push

__all__ = ["load", "push"]
