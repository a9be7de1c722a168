"""What tells the vectors of one file or folder from those of another, whatever its name is."""

import hashlib
from pathlib import Path

from featinv.errors import BadInput
from featinv.files import sha256_file


def content_digest(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, or of the names and bytes of all files of a folder.

    Of a feature store that is the manifest, the ids and every shard; hidden files do not count. The path itself never
    counts. Raises BadInput where nothing is there.
    """
    path = Path(path)
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise BadInput(f"{path}: expected a file or a folder of vectors, found none")
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            whole.update(f"{file.name}\0{sha256_file(file)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()
