"""Writing a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from featinv import files
from featinv.errors import BadInput
from featinv.evaluation import Scoreboard
from featinv.report.comparable import comparable
from featinv.report.finished_run import Run, read_run

NAMES = {"html": "report.html", "markdown": "report.md"}
Kind = Literal["html", "markdown"]
Source = Path | str | Scoreboard | Run


def write(
    runs: Source | Sequence[Source], path: Path | str | None = None, *, kind: Kind = "html", show_images: bool = True
) -> Path:
    """Write the report of one run or of several, and return its path.

    A run is the folder of a finished comparison, its scoreboard.json, or a scoreboard at hand (which knows no images
    and no learning curves). `kind` is "html", one file that opens anywhere, or "markdown", the same for a model card:
    numbers, no image. `path` names the file, and by .html or .md its kind; or a folder, which gets a report.html or
    report.md; none: the folder of the only run, or the current one. The page shows private images where the run's
    folder has them, and says so at its top; `show_images=False` leaves them out.

    Raises BadInput for a scoreboard that is missing, damaged or of another schema, for runs whose victims, private
    images, galleries or first judges differ, for another suffix, and for a path that cannot be written.
    """
    from featinv.report.rendering import as_html, as_markdown
    from featinv.report.sections import document

    sources = [runs] if isinstance(runs, Path | str | Scoreboard | Run) else list(runs)
    target = _target(sources, path, kind)
    report = document(comparable([read_run(source) for source in sources]), show_images=show_images)
    text = as_markdown(report) if target.suffix == ".md" else as_html(report)
    try:
        with files.atomic_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror}); choose another --out") from error
    return target


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
