"""Writing a report: the document as HTML or as Markdown; whatever comes from somebody's files is escaped."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jinja2

from featinv import __version__, files
from featinv.errors import BadInput
from featinv.evaluation import Scoreboard
from featinv.report.document import Document
from featinv.report.runs import Run, comparable, read_run
from featinv.report.sections import document

NAMES = {"html": "report.html", "markdown": "report.md"}
Kind = Literal["html", "markdown"]
Source = Path | str | Scoreboard | Run
_TEMPLATES = Path(__file__).parent / "templates"
# Brackets around numbers and underscores inside words mean nothing in Markdown, and stay readable.
_SPECIAL = re.compile(r"([\\`*<>#|~$&]|\[(?![-.\d])|\](?=[(\[:])|(?<!\w)_|_(?!\w))")


def write(
    runs: Source | Sequence[Source], path: Path | str | None = None, *, kind: Kind = "html", show_images: bool = True
) -> Path:
    """Write the report of one run or of several, and return its path.

    A run is the folder of a finished comparison, its scoreboard.json, or a scoreboard at hand (without images and
    training curves). `kind` is "html", one file that opens anywhere, or "markdown", the same for a model card: numbers,
    no image. `path` names the file, and by .html or .md its kind; or a folder, which gets a report.html or report.md;
    none: the folder of the only run, or the current one. The page shows private images where the run's folder has them,
    and says so at its top; `show_images=False` leaves them out.

    Raises BadInput for a scoreboard that is missing, damaged or of another schema, for runs whose victims, private
    images, galleries or first judges differ, for another suffix, and for a path that cannot be written.
    """
    sources = [runs] if isinstance(runs, Path | str | Scoreboard | Run) else list(runs)
    target = _target(sources, path, kind)
    _write(_document(sources, show_images=show_images), target)
    return target


def write_both(run: Source, folder: Path | str | None = None, *, show_images: bool = True) -> tuple[Path, Path]:
    """Write report.html and report.md of one run from the same document, and return their paths; see `write`."""
    page, text = _target([run], folder, "html"), _target([run], folder, "markdown")
    report = _document([run], show_images=show_images)
    _write(report, page)
    _write(report, text)
    return page, text


def _document(sources: Sequence[Source], *, show_images: bool) -> Document:
    return document(comparable([read_run(source) for source in sources]), show_images=show_images)


def _write(report: Document, target: Path) -> None:
    text = as_markdown(report) if target.suffix == ".md" else as_html(report)
    try:
        with files.atomic_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror}); choose another --out") from error


def _target(sources: Sequence[Source], path: Path | str | None, kind: Kind) -> Path:
    if path is None:
        only = Path(sources[0]) if len(sources) == 1 and isinstance(sources[0], Path | str) else Path()
        path = only if only.is_dir() else only.parent
    target = Path(path)
    if target.is_dir():
        target /= NAMES[kind]
    if target.suffix not in (".html", ".md"):
        raise BadInput(f"{target}: expected a folder, or a name that ends in .html or .md; choose another --out")
    if kind == "markdown" and target.suffix != ".md":
        raise BadInput(f"{target}: expected a name that ends in .md for Markdown; choose another --out")
    return target


def as_html(document: Document) -> str:
    """Return one page that loads nothing from elsewhere."""
    return _environment(autoescape=True).get_template("report.html.j2").render(report=document, version=__version__)


def as_markdown(document: Document) -> str:
    """Return the same for a model card: figures become their numbers, and private images are left out."""
    text = _environment(autoescape=False).get_template("report.md.j2").render(report=document, version=__version__)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@functools.cache
def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain_markdown
    environment.filters["slug"] = lambda title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return environment


def plain_markdown(text: str) -> str:
    """Escape what Markdown, or HTML inside it, would not show as text; a line break would end a table's row."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
