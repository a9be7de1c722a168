"""Tables that pyarrow or Lance reads, batch by batch: parquet, Arrow, `datasets` folders, Lance, whole or in shards."""

import contextlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final

from featinv.data import lance_program
from featinv.errors import BadInput
from featinv.files import missing_extra, read_json, unreadable

ROWS_AT_ONCE = 4096
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
SUFFIXES = (".parquet", *ARROW_SUFFIXES)
STATE, DICT = "state.json", "dataset_dict.json"
"""What `datasets.Dataset.save_to_disk` leaves beside its Arrow files, and a DatasetDict above its splits."""

_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"

Batches = Callable[[Path, Sequence[str], int], Iterator[Any]]


@final
@dataclass(frozen=True)
class Table:
    """A table in one or more files of one schema, read in their order; no more than a batch is in memory.

    `form` says in words what it is.
    """

    path: Path
    form: str
    files: tuple[Path, ...]
    schema: Any

    def batches(self, columns: Sequence[str], rows: int = ROWS_AT_ONCE) -> Iterator[Any]:
        """Yield record batches of these columns. Raises BadInput for a file that is damaged or has other columns."""
        for file in self.files:
            with _refused(file, self.form):
                mine = _schema(file)
                for name in columns:
                    place = mine.get_field_index(name)
                    if place < 0 or mine.field(place).type != self.schema.field(name).type:
                        got = "no such column" if place < 0 else str(mine.field(place).type)
                        raise BadInput(
                            f"{file}: expected a column {name!r} of {self.schema.field(name).type} as in "
                            f"{self.files[0].name}, got {got}; give shards of one table"
                        )
                for batch in _reader(file)(file, columns, rows):
                    # A damaged file can hold offsets that point outside its buffers.
                    batch.validate(full=True)
                    yield batch


def is_table(path: Path) -> bool:
    """Say whether the path is that of a table: by its suffix, or a folder of `datasets`, of Lance or of shards."""
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return True
    return path.is_dir() and (_is_datasets(path) or _is_lance(path) or bool(table_shards(path)))


def table_shards(folder: Path) -> tuple[Path, ...]:
    """Return the parquet or Arrow files of a folder that holds nothing else to read, else nothing."""
    names = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith((".", "_"))]
    suffixes = {entry.suffix.lower() for entry in names if entry.is_file()}
    return tuple(names) if len(suffixes) == 1 and suffixes <= set(SUFFIXES) and all(map(Path.is_file, names)) else ()


def open_table(path: Path) -> Table:
    """Open a table: .parquet, .arrow, .feather, a folder of `datasets` or of Lance, or a folder of shards.

    Raises BadInput where pyarrow or Lance is not installed, for a damaged file, a folder of several splits, and shards
    that are missing.
    """
    files: tuple[Path, ...] = (path,)
    if _is_lance(path):
        form = "a Lance dataset"
    elif path.is_dir() and _is_datasets(path):
        form, files = "a folder of datasets.save_to_disk", _files_of_datasets(path)
    else:
        files = shards_in_order(path, table_shards(path)) if path.is_dir() else files
        form = "a parquet file" if files[0].suffix.lower() == ".parquet" else "an Arrow file"
    with _refused(files[0], form):
        schema = _schema(files[0])
        names = schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"{path}: expected columns of different names, got {twice[0]!r} twice; rename one")
    return Table(path, form, files, schema)


def shards_in_order(folder: Path, files: Sequence[Path]) -> tuple[Path, ...]:
    """Return shards in the order of their numbers: `part_0`, `part_1`, ..., or `train-00000-of-00002`, ...

    Raises BadInput where names differ in more than their number, and where a number is missing or there twice.
    """
    matches = {file: re.fullmatch(r"(.*?)(\d{1,18})(?:-of-(\d{1,18}))?(\.[^.]+)", file.name) for file in files}
    if len(files) == 1:
        match = matches[files[0]]
        if match is None or match[3] is None:
            return tuple(files)
    by_number: dict[int, Path] = {}
    kinds: dict[tuple[str, str], Path] = {}
    for file, match in matches.items():
        if match is None:
            raise BadInput(f"{folder}: expected shards with numbers, as in part_0, got {file.name!r}; give one file")
        kinds[match[1], match[3] or ""] = file
        if (other := by_number.setdefault(int(match[2]), file)) != file:
            raise BadInput(f"{folder}: expected each number once, got {other.name!r} and {file.name!r}")
    if len(kinds) > 1:
        first, second = list(kinds.values())[:2]
        raise BadInput(
            f"{folder}: expected shards of one name, got {first.name!r} and {second.name!r}; give a folder each"
        )
    (_, of), start = next(iter(kinds)), min(1, min(by_number))
    stop = start + int(of) if of else max(by_number) + 1
    if len(by_number) < stop - start or max(by_number) >= stop:
        missing = next((number for number in range(start, stop) if number not in by_number), max(by_number))
        raise BadInput(
            f"{folder}: expected every shard from {start} to {stop - 1}, got {len(by_number)} of them (the first that "
            f"is missing or not expected: {missing}); fetch the missing ones"
        )
    return tuple(by_number[number] for number in sorted(by_number))


def _is_datasets(path: Path) -> bool:
    return any((path / name).is_file() for name in (STATE, DICT))


def _is_lance(path: Path) -> bool:
    return path.is_dir() and (path / "_versions").is_dir()


def _files_of_datasets(folder: Path) -> tuple[Path, ...]:
    if (folder / DICT).is_file():
        splits = sorted(child.name for child in folder.iterdir() if (child / STATE).is_file())
        raise BadInput(
            f"{folder}: expected one split, got a dict of {len(splits)} ({', '.join(splits[:4])}); give the folder of "
            f"one, such as {folder / (splits[0] if splits else 'train')}"
        )
    state = read_json(folder / STATE)
    files = state.get("_data_files") if isinstance(state, dict) else None
    if not isinstance(files, list) or not files or not all(_is_plain_name(file) for file in files):
        raise BadInput(f"{folder / STATE}: expected the names of Arrow files, got none; save the dataset again")
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise BadInput(f"{folder}: holds a selection of rows; flatten it first: dataset.flatten_indices()")
    for file in files:
        if not (folder / file["filename"]).is_file():
            raise BadInput(f"{folder}: expected the file {file['filename']!r}, found none; copy the whole folder")
    return tuple(folder / file["filename"] for file in files)


def _is_plain_name(file: object) -> bool:
    """A name with folders in it could lead anywhere on this machine."""
    name = file.get("filename") if isinstance(file, dict) else None
    return isinstance(name, str) and name == Path(name).name and name not in ("", "..")


def _schema(file: Path) -> Any:
    if _is_lance(file):
        with _lance_stream(file, 0, ()) as stream:
            return stream.schema
    if file.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as opened:
            return opened.schema_arrow
    with _opened_arrow(file) as (_, schema):
        return schema


def _reader(file: Path) -> Batches:
    if _is_lance(file):
        return _lance_batches
    return _parquet_batches if file.suffix.lower() == ".parquet" else _arrow_batches


def _parquet_batches(file: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        yield from opened.iter_batches(batch_size=rows, columns=list(columns))


def _arrow_batches(file: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    with _opened_arrow(file) as (batches, _):
        for batch in batches:
            for start in range(0, len(batch), rows):
                part = batch.slice(start, rows)
                yield part.select(list(columns))


@contextlib.contextmanager
def _opened_arrow(file: Path) -> Iterator[tuple[Iterator[Any], Any]]:
    """Open Arrow's file format (Feather 2) or its stream format, in which `datasets` writes."""
    import pyarrow as pa

    with pa.OSFile(str(file)) as source:
        if source.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(source)
            yield (reader.get_batch(number) for number in range(reader.num_record_batches)), reader.schema
        else:
            source.seek(max(0, source.size() - len(_STREAM_END)))
            # Without its mark a stream that was cut between two batches reads as a shorter one.
            if source.read(len(_STREAM_END)) != _STREAM_END:
                raise ValueError("the mark of the stream's end is missing")
            source.seek(0)
            with pa.ipc.open_stream(source) as stream:
                yield iter(stream), stream.schema


def _lance_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    with _lance_stream(path, rows, columns) as stream:
        yield from stream


@contextlib.contextmanager
def _lance_stream(path: Path, rows: int, columns: Sequence[str]) -> Iterator[Any]:
    """Read what `lance_program` writes; a program that fails is a dataset that cannot be read."""
    import pyarrow as pa

    if importlib.util.find_spec("lance") is None:
        raise missing_extra(path, "Lance", "pylance", "lance")
    command = [sys.executable, "-P", lance_program.__file__, str(path), str(rows), *columns]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as program:
        try:
            with pa.ipc.open_stream(program.stdout) as stream:
                yield stream
        except (pa.ArrowException, OSError) as error:
            raise OSError(_last_words(program, log)) from error
        if program.wait() != 0:
            raise OSError(_last_words(program, log))


def _last_words(program: "subprocess.Popen[bytes]", log: IO[bytes]) -> str:
    program.kill()
    program.wait()
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if "Error" in line or "panick" in line]
    return (lines or [f"Lance ended with {program.returncode}"])[-1]


@contextlib.contextmanager
def _refused(path: Path, form: str) -> Iterator[None]:
    """Turn what the readers raise for a damaged file into one line."""
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        what = "parquet" if path.suffix.lower() == ".parquet" else form
        raise missing_extra(path, what, "pyarrow", "parquet") from error
    try:
        yield
    except BadInput:
        raise
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        raise unreadable(path, form, error) from error
