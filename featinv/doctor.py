"""`featinv doctor`: what is installed on this machine, what can be measured, and how to install the rest."""

import importlib.metadata
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from featinv.configuration import PACKAGES, build, parse_component
from featinv.errors import BadInput
from featinv.extras import EXTRAS

State = Literal["ok", "absent", "broken"]
_NEEDED_FOR = {
    "alexnet": "the metric LPIPS, the loss LPIPS(net='alex')",
    "vgg16": "the metric DISTS, the losses LPIPS(net='vgg') and VGGFeatures",
    "squeezenet1_1": "the loss LPIPS(net='squeeze')",
    "resnet50": "the encoder of the paper, torchvision('resnet50', weights='IMAGENET1K_V1')",
}
"""ImageNet networks of torchvision, and the features that need their weights."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. "absent": some features are missing; "broken": the default configuration cannot run."""

    what: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:<7} {self.what}: {self.text}{f'; {self.remedy}' if self.remedy else ''}"


def examine() -> list[Finding]:
    """Return the findings: libraries, accelerator, packaged networks, cached weights. Nothing is downloaded."""
    findings = [*_libraries(), *_extras()]
    if any(finding.state == "broken" for finding in findings):
        return findings
    torchvision = _torchvision()
    if torchvision.state == "broken":
        return [*findings, torchvision]
    return [*findings, torchvision, _accelerator(), _embedded(), *_weights()]


def healthy(findings: list[Finding]) -> bool:
    """Return whether the default configuration (the demo) can run."""
    return all(finding.state != "broken" for finding in findings)


def _libraries() -> list[Finding]:
    """Check every requirement of the package's own metadata."""
    findings = [Finding("python", "ok", platform.python_version())]
    for requirement in importlib.metadata.requires("featinv") or ():
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if "extra ==" not in requirement:
            findings.append(_library(name, "broken"))
    return findings


def _extras() -> list[Finding]:
    finding = _library("pyarrow", "absent")
    if finding.state == "absent":
        finding = Finding("pyarrow", "absent", "features in .parquet files cannot be read", "pip install pyarrow")
    return [finding, *(_optional(distribution, purpose) for distribution, purpose in EXTRAS.values())]


def _optional(distribution: str, purpose: str) -> Finding:
    finding = _library(distribution, "absent")
    if finding.state == "ok":
        return finding
    return Finding(distribution, "absent", f"not installed, needed for {purpose}", finding.remedy)


def _library(name: str, state_if_missing: State) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, state_if_missing, "not installed", f"pip install {name}")


def _torchvision() -> Finding:
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        remedy = "pip install --upgrade torch torchvision in one command: their versions must match"
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
        "accelerator",
        "absent",
        f"torch detects none; {os.cpu_count()} CPU cores are used",
        "sufficient for the demo",
    )


def _embedded() -> Finding:
    """Run two synthetic images through the packaged encoder and judge."""
    from featinv import data, encoders

    try:
        images = data.scenes(2, size=32, seed=0).batch([0, 1])
        finite = encoders.tiny()(images).isfinite().all() and encoders.judge("scenes-vgg")(images)[1].isfinite().all()
    except (BadInput, RuntimeError) as error:
        return Finding("embedded default", "broken", " ".join(str(error).split()), "install featinv again")
    if not bool(finite):
        return Finding("embedded default", "broken", "packaged networks return NaN", "install featinv again")
    return Finding("embedded default", "ok", "synthetic images, encoder tiny and judge scenes-vgg work")


def _weights() -> list[Finding]:
    import torch
    from torchvision import models

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    findings = []
    for name, purpose in _NEEDED_FOR.items():
        url = models.get_model_weights(name)["IMAGENET1K_V1"].url
        what = f"ImageNet weights of {name}"
        if (folder / Path(url).name).is_file():
            findings.append(Finding(what, "ok", f"cached, for {purpose}"))
        else:
            findings.append(Finding(what, "absent", f"needed for {purpose}", f"put a copy of {url} into {folder}"))
    return findings


def examine_victim(text: str) -> list[Finding]:
    """Return how an encoder, named as for `featinv audit --victim`, treats images, and which attacks it leaves out.

    Raises BadInput for what cannot be built.
    """
    from featinv import encoders

    encoder = build(parse_component(text, PACKAGES["victim"], "--victim"), encoders)
    trained_on = getattr(encoder, "trained_on", "") or "unknown data"
    findings = [
        Finding("encoder", "ok", f"{encoder.name}, of the family {encoder.family}, trained on {trained_on}"),
        _preprocessing(encoder),
        Finding("features", "ok", f"{_shape(encoder.feature_shape)}, float32; fingerprint {encoder.fingerprint[:12]}"),
    ]
    if layers := getattr(encoder, "layers", []):
        shown = layers if len(layers) <= 12 else [*layers[:6], "...", *layers[-6:]]
        findings.append(Finding("layers", "ok", f"{len(layers)} to cut at (layer=NAME): {', '.join(shown)}"))
    return [*findings, _gradients(encoder)]


def _preprocessing(encoder: Any) -> Finding:
    resize_crop = getattr(encoder, "resize_crop", None)
    text = f"images of {encoder.image_size} px" if resize_crop is None else f"{resize_crop}"
    if (normalisation := getattr(encoder, "normalisation", None)) is not None:
        mean, std = (", ".join(f"{x:.4g}" for x in normalisation[key]) for key in ("mean", "std"))
        text += f"; pixels in [0, 1] less ({mean}), divided by ({std})"
    if assumed := getattr(encoder, "assumed", ""):
        return Finding("preprocessing", "absent", text, f"an audit cannot pass: {assumed}")
    return Finding("preprocessing", "ok", text)


def _gradients(encoder: Any) -> Finding:
    from featinv.encoders.black_box import LEFT_OUT

    stop = getattr(encoder, "gradient_stop", "it is a callable of another kind")
    if stop:
        return Finding("gradients", "absent", f"none pass: {stop}", f"left out: {LEFT_OUT}")
    if stages := getattr(encoder, "perceptual_layers", []):
        return Finding("gradients", "ok", f"pass; attacks look through {', '.join(stages)}")
    return Finding("gradients", "ok", "pass; no layer gives maps, so that attacks look through the features alone")


def _shape(feature_shape: tuple[int, ...]) -> str:
    if len(feature_shape) == 1:
        return f"{feature_shape[0]} numbers an image"
    channels, height, width = feature_shape
    return f"maps of {channels} x {height} x {width}"
