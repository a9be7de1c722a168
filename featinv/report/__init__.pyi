from .finished_run import Run as Run
from .finished_run import read_run as read_run
from .shown_images import Exhibit as Exhibit
from .shown_images import choose_images as choose_images
from .writing import write as write

__all__ = [
    "Exhibit",
    "Run",
    "choose_images",
    "read_run",
    "write",
]
