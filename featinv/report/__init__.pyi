from .chosen_images import choose_images as choose_images
from .exhibit import Exhibit as Exhibit
from .runs import Run as Run
from .runs import read_run as read_run
from .writing import write as write
from .writing import write_both as write_both

__all__ = [
    "Exhibit",
    "Run",
    "choose_images",
    "read_run",
    "write",
    "write_both",
]
