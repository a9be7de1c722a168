"""A fitted defence in a few lines of NumPy, for a pipeline that does not import featinv."""

from collections.abc import Callable
from typing import Any

from torch import nn

from featinv.defences import (
    PCA,
    Clip,
    Codebook,
    GaussianNoise,
    Identity,
    Laplace,
    Learned,
    RandomRotation,
    RemoveSubspace,
    ShapedNoise,
    Sign,
    TopK,
    Uniform,
    parts,
)

_LINES: dict[type, Callable[[Any, str], str]] = {
    Clip: lambda part, _: (
        f"x = x * ({part.norm!r} / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), {part.norm!r}))"
    ),
    TopK: lambda part, _: (
        f"x = np.where(abs(x) >= np.sort(abs(x), axis=1)[:, [-{part.k}]], x, 0)  # equal numbers are all kept"
    ),
    GaussianNoise: lambda part, _: f"x = x + {part.std!r} * rng.standard_normal(x.shape)",
    Laplace: lambda part, _: f"x = x + rng.laplace(scale={part.scale!r}, size=x.shape)",
    ShapedNoise: lambda part, w: f"x = x + (rng.standard_normal(x.shape) * {w}deviations']) @ {w}basis'].T",
    Uniform: lambda part, w: (
        f"x = {w}low'] + {w}step'] * np.clip(np.round((x - {w}low']) / np.where({w}step'] > 0, {w}step'], 1)), "
        f"0, {2 ** (part.bits or 1) - 1})"
    ),
    Sign: lambda part, w: f"x = {w}mean'] + np.where(x > {w}mean'], 1, -1) * {w}deviation']",
    Codebook: lambda part, w: f"x = {w}centres'][(np.square({w}centres']).sum(1) - 2 * x @ {w}centres'].T).argmin(1)]",
    PCA: lambda part, w: (
        f"x = (x - {w}mean']) @ {w}components'].T" + ("" if part.coordinates else f" @ {w}components'] + {w}mean']")
    ),
    RandomRotation: lambda part, w: f"x = x @ {w}rotation'].T",
    RemoveSubspace: lambda part, w: f"x = x - (x - {w}mean']) @ {w}removal'].T",
}


def numpy_lines(defence: nn.Module, folder: str) -> tuple[str, ...]:
    """Return lines of NumPy that apply a saved defence to vectors `x` (N, D), or none where it takes more than that.

    `folder` is that of `featinv.defences.save`. Microaggregation and product codes need featinv itself.
    """
    members = [part for part in parts(defence) if not _is_identity(part)]
    if any(type(part) not in _LINES for part in members):
        return ()
    lines = [
        _LINES[type(part)](part, f"w['{number}.")
        for number, part in enumerate(parts(defence))
        if not _is_identity(part)
    ]
    learned = any(isinstance(part, Learned) for part in members)
    noisy = any(isinstance(part, GaussianNoise | Laplace | ShapedNoise) for part in members)
    load = [f"w = safetensors.numpy.load_file('{folder}/weights.safetensors')"] if learned else []
    return (*load, *(["rng = np.random.default_rng()"] if noisy else []), *lines)


def _is_identity(part: nn.Module) -> bool:
    return isinstance(part, Identity) or getattr(part, "is_identity", False) is True
