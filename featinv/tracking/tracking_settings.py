"""What is logged to wandb, and where."""

from dataclasses import dataclass
from typing import Literal

from featinv.errors import BadInput


@dataclass(frozen=True)
class TrackingSettings:
    """What is logged to wandb, and where; private images only where `log_private_images` asks for them."""

    project: str = "featinv"
    """project in wandb"""
    entity: str = ""
    """user or team that owns the project; your own account when empty"""
    study: str = ""
    """group of the runs that are compared with each other; the name of the run's folder when empty"""
    mode: Literal["online", "offline", "disabled"] = "offline"
    """online sends (and falls back to offline without a login), offline writes under OUT/wandb for `wandb sync`; where
    WANDB_MODE or WANDB_DISABLED is set too, the more private setting wins"""
    tags: tuple[str, ...] = ()
    """tags of every run, beside kind and victim"""
    probe: int = 16
    """private images in the table that compares the attacks image by image, drawn by the scoreboard's seed"""
    log_private_images: bool = False
    """put the probe's private images and their reconstructions into the table (numbers only, when false)"""
    log_machine: bool = False
    """log the host name, the program, git's state and absolute paths"""
    upload: bool = False
    """upload attacks and feature stores (references by name only, when false)"""

    def __post_init__(self) -> None:
        if not self.project or "/" in self.project:
            raise BadInput(
                f"tracking.project: expected a name without '/', got {self.project!r}; the owner goes into entity"
            )
        if self.probe < 0:
            raise BadInput(f"tracking.probe: expected a number of images, got {self.probe}; 0 makes no table")
