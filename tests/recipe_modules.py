"""A recipe as a module, for tests that call its `main` instead of starting a process."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe(name: str) -> ModuleType:
    """Return recipes/NAME.py as a module."""
    known = f"{name}_recipe"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, RECIPES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]
