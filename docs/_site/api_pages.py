"""The API reference: one page for each public package, from the stub that lists its exports."""

import importlib
import re
import types
from pathlib import Path

import featinv
from _site.pages import heading, write_pages

FRONT = "featinv"


def packages() -> list[str]:
    """Return the names of the packages and modules that featinv exports, in alphabetic order."""
    return [name for name in featinv.__all__ if isinstance(getattr(featinv, name), types.ModuleType)]


def home(name: str) -> str | None:
    """Return the package that documents a name which stands at the top of featinv; None: nothing but featinv has it."""
    package = getattr(getattr(featinv, name), "__module__", "").split(".")[1]
    exported = package in featinv.__all__ and name in getattr(getattr(featinv, package), "__all__", ())
    return package if exported else None


def _front(names: list[str]) -> str:
    """Return the page of the names at the top: each links to its package, or is documented here."""
    homes = {name: home(name) for name in names}
    links = [f"- :py:obj:`featinv.{name} <featinv.{package}.{name}>`" for name, package in homes.items() if package]
    here = _page("featinv", [name for name, package in homes.items() if package is None])
    return "\n".join([here, heading("Documented with their package", "-"), *links, ""])


def escape(text: str) -> str:
    """Return a docstring, plain text with `code` in backticks, as reStructuredText that shows it as it is."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text, flags=re.DOTALL)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"[*|`]|_(?=\W|$)", r"\\\g<0>", parts[index])
        if index and parts[index][:1].isalnum():  # `Component`s: markup has to end before the letter
            parts[index] = "\\ " + parts[index]
    return "".join(parts)


def escape_docstring(app: object, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Let autodoc show docstrings as they are written (`autodoc-process-docstring`)."""
    lines[:] = escape("\n".join(lines)).split("\n")


def _page(module: str, members: list[str]) -> str:
    """Return a page that documents these members of a module, each in the place where users import it from."""
    lines = [heading(module), f".. automodule:: {module}", ""]
    for member in members:
        item = getattr(importlib.import_module(module), member)
        if isinstance(item, types.ModuleType):
            continue
        if isinstance(item, type):
            kind, options = "autoclass", "   :members:\n"
        else:
            kind, options = ("autofunction" if callable(item) else "autodata"), ""
        lines += [f".. {kind}:: {module}.{member}", options]
    return "\n".join(lines)


def _exports(module: str) -> list[str]:
    """Return what a package's stub exports; of a single module, what is defined in it and has no underscore."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return list(loaded.__all__)
    names = [name for name in vars(loaded) if not name.startswith("_")]
    return [name for name in names if getattr(getattr(loaded, name), "__module__", None) == module]


def write(folder: Path) -> None:
    """Write the pages into `folder`: an index, the names that stand at the top of featinv, and one page a package."""
    names = packages()
    pages = {name: _page(f"featinv.{name}", _exports(f"featinv.{name}")) for name in names}
    pages[FRONT] = _front([name for name in featinv.__all__ if name not in names])
    toctree = "\n".join(f"   {name}" for name in [FRONT, *names])
    pages["index"] = (
        f"{heading('Python API')}\nGenerated from the docstrings. Every name stands where it is imported from.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{toctree}\n"
    )
    write_pages(folder, pages)
