"""Checks of what a process inherits: working folder, thread counts, ranks and variables of other tools.

Nothing here imports torch, so that every `--help` is fast.
"""

import os
import re
import sys
from typing import Literal

from featinv.errors import BadInput

_THREADS = ("FEATINV_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_TASKS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""variables in which mpirun and srun give the number of started processes"""
_DEVICE = r"-1|\d+|GPU-[0-9a-fA-F-]+|MIG-[0-9a-zA-Z/-]+|NoDevFiles"
_YES, _NO = ("1", "true", "yes", "y", "t", "on"), ("0", "false", "no", "n", "f", "off")

WandbMode = Literal["disabled", "offline", "online"]
WANDB_MODES: tuple[WandbMode, ...] = ("disabled", "offline", "online")
"""from the most private to the least private mode"""
_WANDB_NAMES: dict[str, WandbMode] = {
    "disabled": "disabled",
    "offline": "offline",
    "dryrun": "offline",
    "online": "online",
    "run": "online",
    "shared": "online",
}


def check() -> None:
    """Raise BadInput for the first inherited setting that is invalid, with its name, value and what is expected."""
    working_folder()
    for name in _THREADS:
        threads(name)
    for name in ("ACCELERATE_USE_CPU", "WANDB_DISABLED"):
        switched_on(name)
    wandb_mode("online")
    _check_ranks()
    _check_devices()


def no_windows() -> None:
    """Select a backend without windows; an MPLBACKEND that does not exist would stop every import of matplotlib."""
    os.environ["MPLBACKEND"] = "agg"


def working_folder() -> str:
    """Return the current folder. Raises BadInput where it was removed."""
    try:
        return os.getcwd()
    except OSError as error:
        raise BadInput(
            f"working folder: expected to be started in a folder that exists ({error.strerror}); cd to another one"
        ) from error


def threads(name: str) -> int | None:
    """Return the number of threads of an environment variable (the first of a list), None where it is unset.

    Raises BadInput unless each is a whole number from 1 to four for each core, or 64 where that is more.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    most = max(64, 4 * (os.cpu_count() or 1))
    counts = text.split(",") if name == "OMP_NUM_THREADS" else [text]  # OpenMP: one number for each nesting level
    if not all(re.fullmatch(r"\s*[0-9]{1,6}\s*", count) and 1 <= int(count) <= most for count in counts):
        raise BadInput(f"{name}: expected a number of threads from 1 to {most}, got {text!r}; unset it, or set another")
    return int(counts[0])


def switched_on(name: str) -> bool:
    """Return whether an environment variable is true (1, true, yes, on). Raises BadInput for unknown values."""
    value = os.environ.get(name, "").strip().lower()
    if value in _YES:
        return True
    if value in _NO or not value:
        return False
    raise BadInput(f"{name}: expected true or false, got {value!r}; unset it, or set one of these")


def wandb_mode(mode: WandbMode) -> WandbMode:
    """Return `mode`, or the mode of WANDB_MODE or WANDB_DISABLED if that is more private.

    Raises BadInput for an unknown WANDB_MODE.
    """
    if switched_on("WANDB_DISABLED"):
        return "disabled"
    name = os.environ.get("WANDB_MODE", "").strip().lower()
    if not name:
        return mode
    if name not in _WANDB_NAMES:
        raise BadInput(f"WANDB_MODE: expected one of {', '.join(WANDB_MODES)}, got {name!r}; unset it, or set another")
    return min(mode, _WANDB_NAMES[name], key=WANDB_MODES.index)


def rank(name: str, otherwise: int) -> int:
    """Return a rank or a number of processes from an environment variable, or `otherwise` where it is unset.

    Raises BadInput unless it is a whole number.
    """
    text = os.environ.get(name, "").strip()
    if not re.fullmatch(r"-?[0-9]{0,6}", text):
        raise BadInput(f"{name}: expected the whole number that a launcher sets, got {text!r}; unset it")
    return int(text) if text else otherwise


def use_one_process(command: str) -> None:
    """Make a command that runs in one process ignore the ranks of a surrounding job.

    An interactive shell inside a job, or a script, may export RANK and WORLD_SIZE. The command would then wait for
    processes that are never started. Raises BadInput where a launcher did start several copies of this command, which
    would all write to one folder.
    """
    launcher_variables = [name for name in _TASKS if rank(name, 1) > 1]
    if "TORCHELASTIC_RUN_ID" in os.environ and rank("WORLD_SIZE", 1) > 1:
        launcher_variables.append("WORLD_SIZE")
    if launcher_variables:
        name = launcher_variables[0]
        raise BadInput(
            f"{command}: expected one process, but a launcher started {os.environ[name]} ({name}); start "
            "it without torchrun, or with srun --ntasks=1 (several processes: accelerate launch recipes/compare.py)"
        )
    inherited = [name for name in _RANKS if os.environ.pop(name, "")]
    if inherited:
        print(f"note: {', '.join(inherited)} ignored: {command} runs in one process", file=sys.stderr, flush=True)


def _check_ranks() -> None:
    size, own, local = rank("WORLD_SIZE", 1), rank("RANK", -1), rank("LOCAL_RANK", -1)
    started = any(rank(name, 1) > 1 for name in _TASKS)
    rank("LOCAL_WORLD_SIZE", 1)
    if own >= size or (own < 0 and not started and (size > 1 or local >= 0)):
        values = ", ".join(f"{name}={os.environ[name]}" for name in _RANKS if os.environ.get(name))
        raise BadInput(
            f"WORLD_SIZE, RANK: expected what accelerate launch or torchrun sets (RANK from 0 to WORLD_SIZE - 1), got "
            f"{values}; unset them, or use a launcher"
        )


def _check_devices() -> None:
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if devices.strip() and not all(re.fullmatch(rf"\s*({_DEVICE})\s*", device) for device in devices.split(",")):
        # The driver would hide every GPU, and the work would take hours on the CPU.
        raise BadInput(
            f"CUDA_VISIBLE_DEVICES: expected numbers or GPU-... identifiers with commas between them, got {devices!r}; "
            "unset it, or set it to an empty value to use no GPU"
        )
