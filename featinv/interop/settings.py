"""What `featinv score` is asked, checked before anything is loaded (nothing here imports torch)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from featinv.dataclass_flags import flag
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed, make_plain

EXIT_CODES = "Exit codes: 0 done; 2 bad input; 3 an unexpected error, with a traceback file; 130 interrupted."
IMAGES, HOW, RESULTS = GROUPS = ("images", "how", "results")
"""the headings of `featinv score --help`"""


@dataclass(frozen=True)
class ScoreSettings:
    """Which reconstructions are scored against which originals, by whom, and where the results go.

    Raises BadInput for what is missing or contradicts itself, saying which flag.
    """

    originals: str = field(metadata=flag(IMAGES, "DIR"))
    """the private images"""
    out: str = field(metadata=flag(RESULTS, "DIR"))
    """folder for scoreboard.json, report.html and report.md"""
    reconstructions: tuple[str, ...] = field(default=(), metadata=flag(IMAGES, "[NAME=]DIR"))
    """reconstructions by one attack, with the file names of the originals (the suffix may differ), square and of one
    size; the name is that of the folder when not given; repeatable"""
    controls: tuple[str, ...] = field(default=(), metadata=flag(IMAGES, "[NAME=]DIR", name="--control"))
    """the same of a control, for example the nearest public image of each vector; repeatable"""
    public: str | None = field(default=None, metadata=flag(IMAGES, "DIR"))
    """public images, for the control 'mean image'; when not given: the mean of the originals, which is stronger"""
    judges: tuple[str, ...] = field(default=(), metadata=flag(HOW, "FILE", name="--judge"))
    """a judge; repeatable, the first one counts; when not given: the packaged one, which knows synthetic scenes only"""
    victim: str = field(default="not stated", metadata=flag(HOW, "TEXT"))
    """what made the vectors; printed in the report"""
    family: str | None = field(default=None, metadata=flag(HOW, "NAME"))
    """family of that encoder (resnet, vgg, vit, ...): a judge of the same family may not come first"""
    seed: int = field(default=0, metadata=flag(HOW, "N"))
    """seed of the bootstrap and of the mismatched features"""

    def __post_init__(self) -> None:
        make_plain(self)
        check_seed("--seed", self.seed)
        if not self.reconstructions:
            raise BadInput("score: expected --reconstructions DIR, the images that an attack made; got none")
        named(self.reconstructions, "--reconstructions")
        named(self.controls, "--control")


def named(texts: Sequence[str], what: str) -> dict[str, str]:
    """Return {name: folder} of texts "[NAME=]DIR"; BadInput for a name or folder that is empty, or twice there."""
    folders: dict[str, str] = {}
    for text in texts:
        name, given, path = text.partition("=")
        path = path if given else text
        name = name if given else Path(text).resolve().name
        if not name.strip() or not path.strip():
            raise BadInput(f"{what}: expected DIR or NAME=DIR, got {text!r}")
        if name in folders:
            raise BadInput(f"{what}: two folders are called {name!r}; name them, NAME=DIR")
        folders[name] = path
    return folders
