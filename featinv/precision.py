"""In which precision a network is trained: what the device does in hardware, unless the user says otherwise."""

import dataclasses
import functools
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import torch

from featinv import processes
from featinv.errors import BadInput

Precision: TypeAlias = Literal["no", "bf16", "fp16"]
CHOICES = ("auto", "no", "bf16", "fp16")
LAUNCH, AUTO = "ACCELERATE_MIXED_PRECISION", "FEATINV_PRECISION"
"""the variable that `accelerate launch` exports; the variable that says what "auto" means"""
_SOURCE = f"{LAUNCH} (set by hand, by accelerate launch --mixed_precision, or by accelerate's default config file)"


def resolve(asked: str | None, device: torch.device | str) -> Precision:
    """Return the precision to train in on a device: "no" is float32, "bf16" and "fp16" are torch's autocast.

    `asked` is "no", "bf16", "fp16", or "auto" (None is "auto"). For "auto" the first of these decides: bf16 or fp16
    in ACCELERATE_MIXED_PRECISION ("no" there is also what `accelerate launch` exports when nobody chose, so it does
    not count); FEATINV_PRECISION; bf16 where it is faster (`pays`); else float32. A bf16 that the user asked for and
    that the device emulates is obeyed with one line of warning.
    Raises BadInput for fp16 on a CPU and for a variable that names no precision.
    """
    chosen, source = _chosen(asked, "mixed_precision")
    device = torch.device(device)
    if chosen == "auto":
        return "bf16" if pays(device) else "no"
    if chosen == "fp16" and device.type == "cpu":
        raise BadInput(f"{source}: fp16 does nothing on a CPU; use auto, bf16 or no")
    if chosen == "bf16" and not in_hardware(device):
        _warn_once(f"{source}: bf16 is emulated on this device ({device.type}) and slower than float32; use auto or no")
    return chosen


def resolve_bf16(asked: str | None, device: torch.device | str) -> bool:
    """Say whether a classifier is trained under bf16 autocast; fp16 of the environment means float32 for it.

    Classifiers train without a gradient scaler, which fp16 needs. Raises BadInput as `resolve` does.
    """
    return resolve(asked, device) == "bf16"


def in_hardware(device: torch.device | str) -> bool:
    """Say whether a device multiplies bfloat16 in hardware: CUDA capability 8 and up, a CPU with AVX512-BF16 or AMX."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return _cpu_has("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return False


def pays(device: torch.device | str) -> bool:
    """Say whether bf16 is faster than float32 on a device: CUDA capability 8 and up, a CPU with AMX.

    AVX512-BF16 alone does not count: an Intel Xeon that has it and no AMX took 1.8 times as long in bf16
    (docs/benchmarks.md). The rule asks the processor and measures nothing, so that a command chooses the same precision
    whenever it is run.
    """
    device = torch.device(device)
    return _cpu_has("_is_amx_tile_supported") if device.type == "cpu" else in_hardware(device)


def check_precision(settings: object = None, device: torch.device | str | None = None) -> None:
    """Raise BadInput before any work when the device cannot do a precision that was asked for, whoever asked.

    `settings` is a dataclass, mapping or sequence, searched for fields named `mixed_precision`; the message names the
    flag. The environment is checked in any case. `device` is that of this process when not given.
    """
    device = torch.device(device) if device is not None else processes.device()
    resolve("auto", device)
    for flag, asked in _fields(settings):
        if asked not in (None, *CHOICES):
            raise BadInput(f"--{flag}: expected one of {', '.join(CHOICES)}, got {asked!r}")
        if asked == "fp16" and device.type == "cpu":
            raise BadInput(f"--{flag}: fp16 does nothing on a CPU; use auto, bf16 or no")


def _chosen(asked: str | None, source: str) -> tuple[Any, str]:
    """The precision that counts, and where it was asked for."""
    if asked not in (None, "auto"):
        return asked, source
    launched = _variable(LAUNCH, _SOURCE)
    if launched in ("bf16", "fp16"):
        return launched, _SOURCE
    return _variable(AUTO, AUTO), AUTO


def _variable(name: str, source: str) -> str:
    value = os.environ.get(name, "").strip().lower() or "auto"
    if value not in CHOICES:
        raise BadInput(f"{source}: expected one of {', '.join(CHOICES)}, got {os.environ[name]!r}; unset it or choose")
    return value


def _fields(settings: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field `mixed_precision` in nested settings, with its path as a flag."""
    if dataclasses.is_dataclass(settings):
        items = [(field.name, getattr(settings, field.name)) for field in dataclasses.fields(settings)]
    elif isinstance(settings, Mapping):
        items = [(str(key), value) for key, value in settings.items()]
    elif isinstance(settings, list | tuple):
        items = [(str(number), value) for number, value in enumerate(settings)]
    else:
        return
    for name, value in items:
        if name == "mixed_precision":
            yield path + name, value
        else:
            yield from _fields(value, f"{path}{name}.")


def _cpu_has(*queries: str) -> bool:
    """Say whether one of torch's own queries of the processor answers yes.

    torch.ops.mkldnn._is_mkldnn_bf16_supported is no such query: it is also true where oneDNN emulates bf16 with AVX512.
    A torch without a query says nothing of the processor: float32 is never wrong.
    """
    queries_of_torch = (getattr(torch.cpu, name, None) for name in queries)
    return any(query is not None and query() for query in queries_of_torch)


@functools.cache
def _warn_once(line: str) -> None:
    logging.getLogger("featinv").warning("warning: %s", line)
