"""Writing generated pages: only files whose text changed, so that a second build reads only what is new."""

from collections.abc import Mapping
from pathlib import Path


def heading(text: str, underline: str = "=") -> str:
    """Return a heading of reStructuredText."""
    return f"{text}\n{underline * len(text)}\n"


def write_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write {name without suffix: text} into `folder` as .rst, and remove what an earlier build left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        file = folder / f"{name}.rst"
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a list-table; cells are inline reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if index == 0 else ' '} - {_cell(cell)}" for index, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a cell whose beginning is no list: a row may be called "+ gan"."""
    return f"\\{text}" if text[:1] in "+-*" else text
