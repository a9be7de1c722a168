from .finished_run import Run as Run
from .finished_run import read_run as read_run
from .shown_pictures import Exhibit as Exhibit
from .shown_pictures import choose_pictures as choose_pictures
from .writing import write as write

__all__ = [
    "Exhibit",
    "Run",
    "choose_pictures",
    "read_run",
    "write",
]
