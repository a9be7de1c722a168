"""What became of the files of a folder: how many images were read, and which were not and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from featinv.data.imageset import ImageSet

_LISTED = 100
"""Files that a record names one by one; it counts all."""
_GROUPS = 6


@final
@dataclass(frozen=True)
class Intake:
    """What was read from a folder and what was not; all zero for images that come from no folder.

    `read` files became images. `skipped` lists (path, reason) of image files that did not: these are lost. `beside`
    lists (path, reason) of what is no image but may belong to some: videos, archives, links back to a folder above.
    `left_out` counts the image files in each kind of thumbnail and cache folder, `ignored` all other files. `unlisted`
    counts folders that could not be opened: nobody knows how many images are in these.
    """

    read: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    beside: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    ignored: int = 0
    unlisted: int = 0

    @property
    def lost(self) -> int:
        """Entries that are or should be image files and were not read; a folder that did not open counts as one."""
        return len(self.skipped)

    @property
    def seen(self) -> int:
        """Image files there were, without those in thumbnail and cache folders."""
        return self.read + self.lost

    @property
    def lost_share(self) -> float:
        """Upper bound of the share of image files that were lost, 0 to 1: 1 where a folder could not be opened."""
        if self.unlisted:
            return 1.0
        return self.lost / self.seen if self.seen else 0.0

    def record(self) -> dict[str, Any]:
        """Return all counts as JSON-able values, with the first 100 of each list of (path, reason)."""
        return {
            "seen": self.seen,
            "read": self.read,
            "lost": self.lost,
            "lost_share": self.lost_share,
            "unlisted_folders": self.unlisted,
            "skipped": [list(entry) for entry in self.skipped[:_LISTED]],
            "beside": [list(entry) for entry in self.beside[:_LISTED]],
            "beside_count": len(self.beside),
            "left_out": dict(self.left_out),
            "ignored": self.ignored,
        }


def intake_sentences(images: "ImageSet", side: str) -> list[str]:
    """Say what of `side` ("private", "public", a folder) was not read, a sentence each; none where all was."""
    intake, sentences = images.intake, []
    if intake.skipped:
        what = _grouped(intake.skipped)
        sentences.append(f"{side}: {intake.lost:,} of {intake.seen:,} image files were not read: {what}")
    if intake.unlisted:
        what = "folder or link" if intake.unlisted == 1 else "folders or links"
        sentences.append(
            f"{side}: {intake.unlisted:,} {what} could not be opened; how many images they hold is unknown"
        )
    if intake.left_out:
        total = sum(count for _, count in intake.left_out)
        what = ", ".join(f"{count:,} in {name}" for name, count in intake.left_out)
        sentences.append(f"{side}: {total:,} image files of thumbnail, cache and trash folders were left out: {what}")
    if intake.beside:
        what = _grouped(intake.beside)
        sentences.append(f"{side}: {len(intake.beside):,} other files or folders are no images: {what}")
    return sentences


def duplicates_sentences(groups: Sequence[Sequence[str]], side: str) -> list[str]:
    """Say how many images of `side` are there more than once, from `duplicates_within`; none where all differ."""
    if not groups:
        return []
    again = sum(len(group) - 1 for group in groups)
    first = " = ".join(groups[0][:3])
    return [f"{side}: {again:,} images equal another of the same side in every pixel (the first: {first})"]


def _grouped(entries: Sequence[tuple[str, str]]) -> str:
    """Count (path, reason) by suffix and kind of reason, and give the first path and reason of each."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for path, reason in entries:
        name = path.rpartition("/")[2]
        suffix = "." + name.rpartition(".")[2].lower() if "." in name[1:] else "without suffix"
        kind = (suffix, reason.partition(":")[0])
        counts[kind] += 1
        first.setdefault(kind, (path, reason))
    texts = [f"{count:,} {kind[0]} ({first[kind][0]}: {first[kind][1]})" for kind, count in counts.most_common(_GROUPS)]
    if rest := counts.total() - sum(count for _, count in counts.most_common(_GROUPS)):
        texts.append(f"{rest:,} others")
    return "; ".join(texts)
