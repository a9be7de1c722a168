"""The console command: typed, no logic of its own, and no torch before it is needed."""

import importlib
import inspect
import sys
from typing import Literal

import featinv as fi

Room = Literal["attacks", "data", "decoders", "defences", "discriminators", "encoders", "losses", "metrics"]


def list_exports(room: Room) -> None:
    """List what a room exports, with one line on each.

    Args:
        room: which room
    """
    module = importlib.import_module(f"featinv.{room}")
    names = fi.configuration.exported(module)
    width = max(map(len, names))
    for name in names:
        text = inspect.getdoc(getattr(module, name)) or ""
        print(f"{name:<{width}}  {text.partition(chr(10))[0]}")


def show(run: str) -> None:
    """Print the scoreboard of a finished run.

    Args:
        run: folder of the run, or its scoreboard.json
    """
    print(fi.load_scoreboard(run))


def main() -> None:
    """Run the command; bad input is one line on stderr and exit code 2."""
    import jsonargparse

    try:
        jsonargparse.auto_cli(
            {"list": list_exports, "show": show},
            description="Measure what image feature vectors leak: see also the recipes.",
            prog="featinv",
            as_positional=True,
            version=fi.__version__,
        )
    except fi.BadInput as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
