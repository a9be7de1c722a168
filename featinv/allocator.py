"""glibc's allocator, told to keep memory: mapping large temporaries anew at every layer costs a CPU more than work."""

import ctypes
import os
import platform

from featinv.errors import BadInput

VARIABLE = "FEATINV_ALLOCATOR"
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT_BYTES = 2**31 - 1
"""the largest value that mallopt takes: freed memory up to this size stays with the process"""


def set_allocator() -> bool:
    """Tell glibc to serve large blocks from its heap and to keep what is freed; returns whether it did.

    The command line and the recipes call it at their start; `import featinv` never does. It changes no result. Peak
    memory is in docs/benchmarks.md. FEATINV_ALLOCATOR=system leaves the allocator alone, and so do MALLOC_ variables of
    glibc that the user set. Where there is no glibc nothing happens. Raises BadInput for another value of the variable.
    Source: mallopt(3).
    """
    wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in ("auto", "system"):
        raise BadInput(f"{VARIABLE}: expected auto or system, got {wanted!r}; unset it")
    tuned = any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )
    if wanted == "system" or tuned or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(option, value) for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEPT_BYTES)))
