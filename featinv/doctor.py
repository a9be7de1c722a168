"""Looks at this machine: what is installed, what can be measured here, and how to get the rest."""

import importlib.metadata
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featinv.errors import BadInput

State = Literal["ok", "absent", "broken"]
_NEEDED_FOR = {
    "alexnet": "the metric LPIPS, the loss LPIPS(net='alex')",
    "vgg16": "the metric DISTS, the losses LPIPS(net='vgg') and VGGFeatures",
    "squeezenet1_1": "the loss LPIPS(net='squeeze')",
    "resnet50": "the encoder of the paper, torchvision('resnet50', weights='IMAGENET1K_V1')",
}
"""ImageNet networks of torchvision, and what is not there without their weights."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. "absent": something less can be measured; "broken": the embedded default cannot run."""

    what: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:<7} {self.what}: {self.text}{f'; {self.remedy}' if self.remedy else ''}"


def examine() -> list[Finding]:
    """Return what was found: libraries, accelerator, packaged networks, cached weights. Nothing is downloaded."""
    found = [*_libraries(), *_extras()]
    if any(finding.state == "broken" for finding in found):
        return found
    working = _torchvision()
    if working.state == "broken":
        return [*found, working]
    return [*found, working, _accelerator(), _embedded(), *_weights()]


def healthy(findings: list[Finding]) -> bool:
    """Say whether the embedded default (the demo) can run."""
    return all(finding.state != "broken" for finding in findings)


def _libraries() -> list[Finding]:
    """Look for everything that the package's own metadata asks for."""
    found = [Finding("python", "ok", platform.python_version())]
    for requirement in importlib.metadata.requires("featinv") or ():
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if "extra ==" not in requirement:
            found.append(_library(name, "broken"))
    return found


def _extras() -> list[Finding]:
    finding = _library("pyarrow", "absent")
    if finding.state == "absent":
        return [Finding("pyarrow", "absent", "features in .parquet files cannot be read", "pip install pyarrow")]
    return [finding]


def _library(name: str, without: State) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, without, "not installed", f"pip install {name}")


def _torchvision() -> Finding:
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        remedy = "pip install --upgrade torch torchvision, together: they come in pairs"
        return Finding("torchvision with torch", "broken", f"cannot be imported ({first})", remedy)
    return Finding("torchvision with torch", "ok", f"{torchvision.__version__} works")


def _accelerator() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
        return Finding("accelerator", "ok", ", ".join(names))
    if torch.backends.mps.is_available():
        return Finding("accelerator", "ok", "Apple's GPU (mps)")
    return Finding(
        "accelerator", "absent", f"none that torch sees; the {os.cpu_count()} CPU cores do", "the demo needs no more"
    )


def _embedded() -> Finding:
    """Send two synthetic images through the packaged encoder and judge."""
    from featinv import data, encoders

    try:
        images = data.scenes(2, size=32, seed=0).batch([0, 1])
        sound = encoders.tiny()(images).isfinite().all() and encoders.judge("scenes-vgg")(images)[1].isfinite().all()
    except (BadInput, RuntimeError) as error:
        return Finding("embedded default", "broken", " ".join(str(error).split()), "install featinv again")
    if not bool(sound):
        return Finding("embedded default", "broken", "packaged networks return NaN", "install featinv again")
    return Finding("embedded default", "ok", "synthetic images, encoder tiny and judge scenes-vgg work")


def _weights() -> list[Finding]:
    import torch
    from torchvision import models

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = []
    for name, purpose in _NEEDED_FOR.items():
        url = models.get_model_weights(name)["IMAGENET1K_V1"].url
        what = f"ImageNet weights of {name}"
        if (folder / Path(url).name).is_file():
            found.append(Finding(what, "ok", f"cached, for {purpose}"))
        else:
            found.append(Finding(what, "absent", f"needed for {purpose}", f"put a copy of {url} into {folder}"))
    return found
