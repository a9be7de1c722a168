"""The content of a report, before it is HTML or Markdown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers; the first column names the row.

    `rules` are rows with a line above them, `words` are columns of text rather than numbers.
    """

    kind: ClassVar[str] = "table"
    private: ClassVar[bool] = False
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    rules: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A drawing with its text alternative and its numbers.

    `draw` returns the image as a data URI; only HTML calls it, because drawing takes most of a report's time. `private`
    marks private images; `wide` figures take the whole width; `repeats` says that the numbers stand in a table of the
    same section.
    """

    kind: ClassVar[str] = "figure"
    title: str
    draw: Callable[[], str]
    alternative: str
    caption: str = ""
    numbers: Table | None = None
    wide: bool = False
    private: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Facts:
    """Terms with their explanations."""

    kind: ClassVar[str] = "facts"
    private: ClassVar[bool] = False
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Notes:
    """Short statements, one a line."""

    kind: ClassVar[str] = "notes"
    private: ClassVar[bool] = False
    lines: tuple[str, ...]


Part = Table | Figure | Facts | Notes


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph or two, and the parts below."""

    title: str
    lead: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Step:
    """One level of the scale: its name, what it means, and whether its criterion held."""

    level: str
    name: str
    meaning: str
    shown: bool


@dataclass(frozen=True)
class Confirmation:
    """One line of the checklist: what was checked, whether it holds, and the evidence."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """The verdict of one run: its sentence, the scale of levels, and in `beside` the best control's numbers.

    `checks` are the positive controls of an audit: where one failed, a low level proves nothing.
    """

    run: str
    level: str
    sentence: str
    steps: tuple[Step, ...] = ()
    beside: str = ""
    checks: tuple[Confirmation, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    subtitle: str
    verdicts: tuple[Verdict, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = field(default=())
    footer: str = ""
