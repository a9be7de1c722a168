"""Where a process runs: devices that are not there, random state that comes back, ranks and threads."""

import subprocess
import sys

import pytest
import torch

import featinv as fi


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "xpu"])
def test_an_accelerator_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    with pytest.raises(fi.BadInput, match=f"device: '{name}' was asked for, but torch sees no such accelerator"):
        fi.processes.device(name)


def test_a_gpu_of_too_high_a_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(fi.BadInput, match=r"'cuda:5' was asked for, but torch sees 2 GPU"):
        fi.processes.device("cuda:5")


def test_a_device_that_is_none_is_refused() -> None:
    with pytest.raises(fi.BadInput, match="expected cpu, cuda"):
        fi.processes.device("abacus")
    assert fi.processes.device("cpu") == torch.device("cpu")


def test_seeded_draws_are_functions_of_their_numbers_and_leave_no_trace() -> None:
    before = torch.get_rng_state()
    with fi.processes.seeded(1, 2):
        first = torch.rand(5)
    with fi.processes.seeded(2, 1):
        other = torch.rand(5)
    with fi.processes.seeded(1, 2):
        again = torch.rand(5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_are_shared_among_the_processes_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert fi.processes.share_threads() == 1
    monkeypatch.setenv("FEATINV_THREADS", "3")
    assert fi.processes.share_threads() == 3
    assert torch.get_num_threads() == 3


def test_alone_one_is_the_main_process() -> None:
    code = "import featinv as fi; print(fi.processes.rank(), fi.processes.world_size(), fi.processes.is_main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "True"]
