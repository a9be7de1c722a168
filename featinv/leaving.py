"""How every command and recipe exits: exit codes, one line on stderr, and output to closed pipes.

Nothing here imports torch.
"""

import importlib.metadata
import io
import logging
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from featinv import environment
from featinv.errors import BadInput, Diverged

DONE, LEAKS, REFUSED, UNEXPECTED, INTERRUPTED = 0, 1, 2, 3, 130
"""exit codes; LEAKS is "more leaks than --max-level allows" and nothing else"""
_LONGEST = 2000
"""largest length of a message in a traceback file: the message of an error could print an array of pixels"""
_LIBRARIES = ("featinv", "torch", "torchvision", "accelerate", "numpy", "safetensors", "pillow", "wandb")


def leave_with(call: Callable[[], int | None]) -> NoReturn:
    """Call a command and exit with its code (none: 0), or with the code of its error and one line on stderr.

    2 for BadInput and Diverged, whose line says what to change; 130 for Ctrl-C; 3 for any other exception, whose
    traceback is written to a file that the line names.
    """
    try:
        code = call() or DONE
    except (BadInput, Diverged) as error:
        _print_error(str(error))
        code = REFUSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    # Broad on purpose: Python would exit with 1, which a gate interprets as "more leaks than allowed".
    except Exception as error:  # noqa: BLE001
        _print_error(f"{_summary(error)}; this is a defect of featinv or of a plug-in: {_write_traceback(error)}")
        code = UNEXPECTED
    sys.exit(code)


def keep_output() -> None:
    """Prevent errors from standard output and standard error.

    A character that the terminal cannot encode is escaped. When the reader of a pipe exits (`| head`), further output
    is dropped, and the exit code of the command is kept. Streams that were replaced, for example by a test, are not
    changed.
    """
    if sys.stdout is not None and sys.stdout is sys.__stdout__:
        sys.stdout = _robust_stream(sys.stdout)
    if sys.stderr is not None and sys.stderr is sys.__stderr__:
        sys.stderr = _robust_stream(sys.stderr)


def show_log() -> None:
    """Write what featinv logs to standard error, one line for each record, above any progress bar; idempotent.

    For commands and recipes: the library itself installs no handler.
    """
    log = logging.getLogger("featinv")
    if not any(isinstance(handler, _AboveBars) for handler in log.handlers):
        log.addHandler(_AboveBars())
        log.setLevel(logging.INFO)


class _AboveBars(logging.Handler):
    """A handler that writes through tqdm, which clears progress bars for the time."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm  # imported here: most commands log nothing

        tqdm.write(self.format(record), file=sys.stderr)


class _Dropping(io.FileIO):
    """A file that drops its output when the reader of the pipe has exited."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return memoryview(data).nbytes


def _robust_stream(stream: Any) -> io.TextIOWrapper:
    stream.flush()
    raw = _Dropping(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _print_error(message: str) -> None:
    """Print an error as one line; other processes wait, so that mostly only the main process prints."""
    if os.environ.get("RANK", "").lstrip("0").isdecimal():
        # The main process mostly has the same error, and the launcher then ends this process before it prints.
        time.sleep(5)
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _summary(error: Exception) -> str:
    """Return the type of an error and the beginning of its first line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}".rstrip(": ")


def _write_traceback(error: Exception) -> str:
    """Write the traceback to a file in the current folder, or else in the temporary one; return a sentence on it."""
    text = (
        "\n".join((*_versions(), "", *(line[:_LONGEST].rstrip() for line in traceback.format_exception(error)))) + "\n"
    )
    name = f"featinv-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (_working_folder, tempfile.gettempdir):
        try:
            path = Path(folder()) / name
            # Readable for its owner only, because it names folders. O_EXCL: never through a link made by others.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return f"please report it with the file {path} (a traceback and versions, no image)"
    return "no file could be written for the traceback"


def _working_folder() -> str:
    try:
        return environment.working_folder()
    except BadInput as error:
        raise FileNotFoundError(str(error)) from error


def _versions() -> list[str]:
    lines = [f"python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for name in _LIBRARIES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} not installed")
    return lines
