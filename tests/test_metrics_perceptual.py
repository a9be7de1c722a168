"""LPIPS and DISTS with stand-ins for the weights (random ones, in torch's cache): what the numbers mean is not tested,
that they come about as the papers say is; and nothing is downloaded."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor
from torch.nn import functional
from torchvision import models

from featinv import BadInput
from featinv.metrics import dists, lpips
from featinv.metrics.perceptual import _built
from featinv.testing import check_metric

FILES = {"alexnet": "alexnet-owt-7be5be79.pth", "vgg16": "vgg16-397923af.pth"}


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("a connection was tried")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    _built.cache_clear()
    yield
    _built.cache_clear()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch's with random weights; VGG's classifier, nine tenths of it, is not needed and left thin."""
    home = tmp_path_factory.mktemp("torch")
    (home / "checkpoints").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(models.alexnet(weights=None).state_dict(), home / "checkpoints" / FILES["alexnet"])
    return home


@pytest.fixture
def weights(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(cache))
    return cache / "checkpoints"


@pytest.fixture
def thin_vgg(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16 without its classifier (half a gigabyte of random numbers)."""

    def build(weights: object = None) -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return torch.nn.ModuleDict({"features": models.vgg.make_layers(models.vgg.cfgs["D"])})

    class Built:
        features = build()["features"]

    (weights / FILES["vgg16"]).touch()
    monkeypatch.setattr("torchmetrics.functional.image.dists.vgg16", lambda weights: Built)


def some_images(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("metric", [lpips, dists])
def test_missing_weights_are_said_and_nothing_is_downloaded(
    metric: Callable[[Tensor, Tensor], Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(BadInput, match=rf"{metric.__name__}: the ImageNet weights of \w+ are not at {tmp_path}"):
        metric(some_images(2, 64), some_images(2, 64))


def test_broken_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    for content in (b"", b"no weights at all"):
        (tmp_path / "checkpoints" / FILES["alexnet"]).write_bytes(content)
        with pytest.raises(BadInput, match="expected torchvision's ImageNet weights, got something else"):
            lpips(some_images(2, 64), some_images(2, 64))
    torch.save({"a": torch.zeros(1)}, tmp_path / "checkpoints" / FILES["alexnet"])
    with pytest.raises(BadInput, match="expected torchvision's ImageNet weights, got something else"):
        lpips(some_images(2, 64), some_images(2, 64))


@pytest.mark.usefixtures("weights")
def test_lpips_is_a_metric() -> None:
    check_metric(lpips, higher_is_better=False)
    check_metric(lpips, higher_is_better=False, size=70)


@pytest.mark.usefixtures("thin_vgg")
def test_dists_is_a_metric() -> None:
    check_metric(dists, higher_is_better=False)


def test_lpips_is_the_papers_formula(weights: Path) -> None:
    """Channels of unit length, squared differences weighted by channel, mean over positions, sum over five layers."""
    state = torch.load(weights / FILES["alexnet"], weights_only=True)
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    heads = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)
    network = models.alexnet(weights=None)
    network.load_state_dict(state)
    network.eval()
    ours, theirs = some_images(2, 80, seed=1), some_images(2, 80, seed=2)
    # The published scaling layer, for images in [-1, 1].
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = [((2 * images - 1) - shift[:, None, None]) / scale[:, None, None] for images in (ours, theirs)]
    expected, place = torch.zeros(2), 0
    with torch.no_grad():
        for number, layer in enumerate(network.features):
            maps = [layer(each) for each in maps]
            if number in (1, 4, 7, 9, 11):
                unit = [each / each.norm(dim=1, keepdim=True).clamp(min=1e-10) for each in maps]
                weighted = (unit[0] - unit[1]) ** 2 * heads[f"lin{place}.model.1.weight"]
                expected += weighted.sum(1).mean((1, 2))
                place += 1
    assert lpips(ours, theirs).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.usefixtures("weights")
def test_small_images_are_enlarged_to_64() -> None:
    ours, theirs = some_images(2, 32, seed=1), some_images(2, 32, seed=2)
    large = [functional.interpolate(images, size=64, mode="bilinear").clamp(0, 1) for images in (ours, theirs)]
    assert lpips(ours, theirs).numpy() == pytest.approx(lpips(*large).numpy(), abs=1e-6)


@pytest.mark.usefixtures("weights")
def test_the_range_is_checked_and_not_assumed() -> None:
    """Peers give LPIPS images in [0, 1] without normalize=True; here another range is refused, ours is converted."""
    with pytest.raises(BadInput, match=r"must lie in \[0, 1\]"):
        lpips(some_images(2, 64) * 2 - 1, some_images(2, 64))
    assert np.isfinite(lpips(torch.ones(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)).numpy()).all()
