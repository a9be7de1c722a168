"""Fixtures that every test may use; no test needs a network."""

import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("FEATINV_PROGRESS", "0")
os.environ.setdefault("WANDB_MODE", "offline")
# How long an example takes says something of the machine only.
hypothesis.settings.register_profile("featinv", deadline=None)
hypothesis.settings.load_profile("featinv")
# What tests compare to the last digit must not depend on what this processor has.
os.environ.setdefault("FEATINV_PRECISION", "no")


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Every test starts from the same random state, on one thread: more of them make tiny networks slower."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    # Many tests write a package of this name; the next one must not get the last one's.
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real data: `train/` and `test/` class folders of CIFAR-10, and the ResNets' safetensors."""
    where = os.environ.get("FEATINV_REAL_DATA")
    if not where or not Path(where).is_dir():
        pytest.skip("FEATINV_REAL_DATA names no folder with the real CIFAR-10 and the ResNet weights")
    source = Path(where)
    if (source / "train").is_dir():
        return source
    if not (source / "cifar10.tar").is_file():
        pytest.skip(f"{source} holds neither train/ nor cifar10.tar")
    unpacked = tmp_path_factory.mktemp("real")
    with tarfile.open(source / "cifar10.tar") as archive:
        archive.extractall(unpacked, filter="data")
    for weights in source.glob("*.safetensors"):
        (unpacked / weights.name).symlink_to(weights)
    return unpacked
