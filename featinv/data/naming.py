"""Which columns of a table name images, by the names that people give them."""

from collections.abc import Sequence

ID_NAMES = (
    ("id",),
    (
        *("filename", "file_name", "file", "filepath", "file_path", "path", "relative_path", "rel_path"),
        *("image_path", "img_path", "image_file", "image_filename", "image_name"),
    ),
    ("image", "img", "image_id", "key", "name", "uid", "uuid", "__index_level_0__"),
)
"""Names of entries with the images' names, in singular and lower case; the first group wins over the next."""


def name_group(name: str) -> int | None:
    """Return the number of the group of `ID_NAMES` that a column's name belongs to, None where it names no images."""
    name = name.lower().replace("-", "_")
    for number, names in enumerate(ID_NAMES):
        if name in names or name.removesuffix("s") in names:
            return number
    return None


def best_of(columns: Sequence[str]) -> list[str]:
    """Return those columns of the best group that any of them belongs to."""
    groups = {column: group for column in columns if (group := name_group(column)) is not None}
    return [column for column, group in groups.items() if group == min(groups.values())]
