"""The one guarded call of featinv: whatever a tracker does, the run goes on."""

import sys
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Guard:
    """Calls what speaks to a tracker; after the first failure it says so once and is `silent`."""

    def __init__(self, tracker: str, *, silent: bool = False) -> None:
        self.tracker = tracker
        self.silent = silent

    def call(self, function: Callable[[], Result]) -> Result | None:
        """Return the result; None after a failure, now or before."""
        if self.silent:
            return None
        try:
            return function()
        except ModuleNotFoundError as error:
            self._give_up(f"{error.name} is not installed (pip install {self.tracker})")
        except Exception as error:  # noqa: BLE001  # the one broad except of featinv: a tracker never stops a run
            self._give_up(one_line(error))
        return None

    def _give_up(self, why: str) -> None:
        self.silent = True
        say(f"{self.tracker}: {why}; the run goes on without it")


def say(words: str) -> None:
    """Write one line to stderr."""
    print(words, file=sys.stderr, flush=True)


def one_line(error: Exception) -> str:
    """Return an error as a line of at most 300 letters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
