"""Where a command spends its CPU seconds: the functions of featinv that take most, with everything that they call.

    python recipes/benchmarks/profile_command.py recipes/compare.py --config recipes/configs/demo.yaml --out DIR
    python recipes/benchmarks/profile_command.py -m featinv audit --victim tiny ... --out DIR

Seconds are of this process, all threads together; a wandb process beside it is not counted. Profiling itself adds to
functions that make many small calls.
"""

import cProfile
import pstats
import runpy
import sys
import time
from collections.abc import Sequence

ROWS = 40


def profiled(command: Sequence[str]) -> pstats.Stats:
    """Run FILE ARGS... or -m MODULE ARGS... in this process, and return its profile in CPU seconds."""
    profile = cProfile.Profile(timer=time.process_time)
    module = command[0] == "-m"
    sys.argv = list(command[1:] if module else command)
    try:
        if module:
            profile.runcall(runpy.run_module, command[1], run_name="__main__", alter_sys=True)
        else:
            profile.runcall(runpy.run_path, command[0], run_name="__main__")
    except SystemExit as left:
        print(f"exit code {left.code or 0}")
    return pstats.Stats(profile)


def rows(stats: pstats.Stats, package: str = "/featinv/") -> list[tuple[float, str]]:
    """Return (CPU seconds with all that is called, file: function) of a package's functions, largest first."""
    entries: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(stats)["stats"]
    return sorted(
        (
            (cumulative, f"{file[file.rindex(package) + 1 :]}: {name}")
            for (file, _, name), (_, _, _, cumulative, _) in entries.items()
            if package in file
        ),
        reverse=True,
    )


def main() -> None:
    stats = profiled(sys.argv[1:])
    total = vars(stats)["total_tt"]
    imports = sum(
        entry[2] for (file, _, _), entry in vars(stats)["stats"].items() if "importlib" in file or file == "<string>"
    )
    print(f"{total:.1f} CPU seconds; {imports:.1f} of them in the import system itself")
    for seconds, name in rows(stats)[:ROWS]:
        print(f"{seconds:8.1f} s {seconds / total:6.1%}  {name}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: profile_command.py FILE ARGS... | -m MODULE ARGS...")
    main()
