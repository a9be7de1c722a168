"""The allocator: set by the command line and the recipes, never by an import, and left alone when asked."""

import platform
import resource
import subprocess
import sys

import pytest

from featinv import BadInput
from featinv.allocator import VARIABLE, set_allocator

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc here, so nothing to set")
FAULTS = """
import resource, sys, torch
import featinv as fi
torch.set_num_threads(1)
if sys.argv[1] == "set":
    assert fi.allocator.set_allocator() == (sys.argv[2] == "works")
def passes():
    for _ in range(8):
        torch.empty(16_000_000).fill_(1)
passes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
passes()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(*arguments: str, **environment: str) -> int:
    """Count the page faults of eight temporaries of 64 MB, in a fresh process."""
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "ACCELERATE_USE_CPU": "true", **environment}
    done = subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@glibc
def test_large_temporaries_are_mapped_once() -> None:
    pages = 64_000_000 // resource.getpagesize()
    plain = _faults("leave", "-")
    if plain < pages // 100:
        pytest.skip("this kernel maps large blocks in huge pages, so that there are no faults to save")
    assert _faults("set", "works") < plain / 10
    assert _faults("set", "leaves it", **{VARIABLE: "system"}) > plain / 2
    assert _faults("set", "leaves it", MALLOC_TRIM_THRESHOLD_="131072") > 0, "what the user set for glibc stays"


def test_another_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "jemalloc")
    with pytest.raises(BadInput, match="FEATINV_ALLOCATOR: expected auto or system, got 'jemalloc'"):
        set_allocator()


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not set_allocator()
