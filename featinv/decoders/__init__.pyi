from .listik import Listik as Listik
from .upsampling import Upsampling as Upsampling

__all__ = ["Listik", "Upsampling"]
