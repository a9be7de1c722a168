from .listik import Listik as Listik

__all__ = ["Listik"]
