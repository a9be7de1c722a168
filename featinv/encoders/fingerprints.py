"""Fingerprints: which weights, cut where, fed how. Equal fingerprints mean equal features."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn


def network_fingerprint(network: nn.Module, setting: dict[str, Any]) -> str:
    """Return the sha256 (64 hex digits) of a network's weights and of the JSON-able setting they are used in.

    Names, shapes, dtypes and bytes of the state dict count, in the order of the names. `num_batches_tracked` does not:
    it changes no output in eval mode, and files written by others lack it.
    """
    digest = hashlib.sha256(json.dumps(setting, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if name.endswith("num_batches_tracked") or not isinstance(tensor, Tensor):
            continue
        digest.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def weights_fingerprint(network: nn.Module) -> str:
    """Return the sha256 (64 hex digits) of a network's weights alone, wherever it is cut and whatever it is fed.

    Shapes, dtypes and bytes of the state dict count; names and their order do not, so that a network inside another
    module has the same. `num_batches_tracked` does not count, as above.
    """
    tensors = [tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")]
    digests = [
        hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype}\n".encode() + _bytes(tensor)).hexdigest()
        for tensor in tensors
        if isinstance(tensor, Tensor)
    ]
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def output_fingerprint(outputs: Tensor, setting: dict[str, Any]) -> str:
    """Return a sha256 for a callable without weights, from its outputs (B, ...) on a fixed probe.

    Only a few rounded numbers count (16 spread entries, mean and deviation, to three digits of the largest, and three
    digits of that one), so that another thread count or machine, which moves outputs by about 1e-7, hardly ever gives
    another fingerprint.
    """
    flat = outputs.detach().double().cpu().reshape(-1)
    entries = flat[torch.linspace(0, flat.numel() - 1, 16).round().long()]
    largest = flat.abs().max().clamp(min=1e-12)
    numbers = torch.cat([entries, flat.mean()[None], flat.std(correction=0)[None]]) / largest
    summary: dict[str, object] = {"shape": list(outputs.shape), "outputs": [round(1000 * x) for x in numbers.tolist()]}
    summary["largest"] = f"{float(largest):.2e}"
    return hashlib.sha256(json.dumps([setting, summary], sort_keys=True).encode()).hexdigest()


def probe_images(size: int) -> Tensor:
    """Return two fixed smooth images (2, 3, size, size) in [0, 1], made by arithmetic and so the same everywhere."""
    axis = torch.arange(size, dtype=torch.float64) / size
    waves = [torch.sin(6.0 * (k + 1) * axis[:, None] + 4.0 * (6 - k) * axis[None, :] + k) for k in range(6)]
    return (0.5 + 0.5 * torch.stack(waves).reshape(2, 3, size, size)).float().clamp(0, 1)
