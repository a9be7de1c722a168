"""From a document to HTML and to Markdown; whatever comes from somebody's files is escaped."""

import re
from pathlib import Path

import jinja2

from featinv import __version__
from featinv.report.document import Document

_TEMPLATES = Path(__file__).parent / "templates"
# Brackets around numbers and underscores inside words mean nothing in Markdown, and stay readable.
_SPECIAL = re.compile(r"([\\`*<>#|~$&]|\[(?![-.\d])|\](?=[(\[:])|(?<!\w)_|_(?!\w))")


def as_html(document: Document) -> str:
    """Return one page that loads nothing from elsewhere."""
    return _environment(autoescape=True).get_template("report.html.j2").render(report=document, version=__version__)


def as_markdown(document: Document) -> str:
    """Return the same for a model card: figures are given as their numbers, and private images never."""
    text = _environment(autoescape=False).get_template("report.md.j2").render(report=document, version=__version__)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _environment(*, autoescape: bool) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = _plain
    made.filters["slug"] = lambda title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return made


def _plain(text: str) -> str:
    """Escape what Markdown or HTML inside it would take for more than text; a line break would end a table's row."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
