"""A judge's features predicted from released vectors, fitted on public images: no image is drawn."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from featinv.attacks.leave_one_out import ridge_by_leave_one_out
from featinv.errors import BadInput
from featinv.evaluation.reidentification import ranks
from featinv.processes import seeded

TAUS = (0.025, 0.05, 0.1)
"""temperatures that are tried"""
SHRINK = 0.03
"""share of the mean variance in the residual covariance of the closed form"""
LEAST_PAIRS = 40
_COSINES, _SPREAD = 1000, 0.4
_WIDTH, _DROPOUT, _LR, _BATCH, _EPOCHS = 512, 0.2, 1e-3, 250, 25
_MOST_PAIRS = 20_000
_TOP = 10


class Prediction(NamedTuple):
    """Predicted directions (N, E) around a centre of 0, and what was chosen on held-out public images."""

    directions: Float[np.ndarray, "N E"]
    chosen: dict[str, float]


def predict_contrastive(
    vectors: Float[np.ndarray, "M D"],
    features: Float[np.ndarray, "M E"],
    asked: Float[np.ndarray, "N D"],
    *,
    seed: int = 0,
) -> Prediction:
    """Return what a small network, trained to single out each image's features among others', makes of `asked`.

    Two hidden layers of 512 units, dropout 0.2, AdamW at 1e-3 for 25 epochs in batches of 250: -log softmax over the
    batch of the cosine with the centred features over tau (arXiv:1807.03748). `chosen["tau"]` found most images among
    ten on a tenth of the public images (1,000 at most), which is held out for that. Raises BadInput for fewer than 40
    public images, and for rows that differ in number. Two hidden layers and the budget are ours.
    """
    x, y, z = _inputs(vectors, features, asked)
    order = np.random.default_rng([seed, 8]).permutation(len(x))
    held, rest = order[: min(1000, max(10, len(x) // 10))], order[max(10, len(x) // 10) :]
    gallery = (y[held] - y[held].mean(0)).numpy()
    best = (-1.0, 0.0, np.empty(0))
    for tau in TAUS:
        with seeded(seed, 8):
            network = _network(x.shape[1], y.shape[1])
            _train(network, x[rest], F.normalize(y[rest], dim=1), tau)
            with torch.no_grad():
                hits = float((ranks(network(x[held]).numpy(), gallery) <= _TOP).mean())
                if hits > best[0]:
                    best = (hits, tau, network(z).numpy())
    return Prediction(best[2], {"tau": best[1], "held_out_top10": best[0]})


def predict_closed_form(
    vectors: Float[np.ndarray, "M D"],
    features: Float[np.ndarray, "M E"],
    asked: Float[np.ndarray, "N D"],
    *,
    seed: int = 0,
) -> Prediction:
    """Return the conditional mean of the features times the inverse covariance of what it leaves over.

    The mean is ridge regression on [cos(z F + p), z], its penalty and the covariance by leave-one-out. It exaggerates
    the directions that the vector determines: the linear discriminant of one image against all others. Raises BadInput
    as `predict_contrastive` does.
    """
    x, y, z = _inputs(vectors, features, asked)
    draw = torch.Generator().manual_seed(seed)
    frequencies = torch.randn(x.shape[1], _COSINES, generator=draw) * (_SPREAD / math.sqrt(x.shape[1]))
    phases = 2 * math.pi * torch.rand(_COSINES, generator=draw)

    def lifted(rows: Tensor) -> Tensor:
        return torch.cat([torch.addmm(phases, rows, frequencies).cos(), rows], 1)

    fitted = ridge_by_leave_one_out(lifted(x), y)
    residuals = fitted.residuals
    covariance = residuals.T @ residuals / len(residuals)
    level = float(covariance.diagonal().mean().clamp(min=1e-12))
    covariance = (1 - SHRINK) * covariance + SHRINK * level * torch.eye(len(covariance), dtype=covariance.dtype)
    mean = torch.addmm(fitted.bias, lifted(z), fitted.weight).double()
    return Prediction(torch.linalg.solve(covariance, mean.T).T.float().numpy(), {"penalty": fitted.penalty})


def whitener(features: Float[np.ndarray, "M E"], *, shrink: float = 0.1) -> Float[np.ndarray, "E E"]:
    """Return W with W'W the inverse covariance of a judge's features on public images, shrunk to its mean variance."""
    covariance = np.cov(features.astype(np.float64), rowvar=False).reshape(features.shape[1], -1)
    level = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    covariance = (1 - shrink) * covariance + shrink * level * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(values)).T


def _inputs(vectors: np.ndarray, features: np.ndarray, asked: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors standardised by the public ones, features centred on theirs, of at most 20,000 public images."""
    if len(vectors) != len(features) or len(vectors) < LEAST_PAIRS:
        raise BadInput(
            f"headroom: expected vectors and features of {LEAST_PAIRS} or more public images, got {len(vectors)} and "
            f"{len(features)}"
        )
    x, y, z = (torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)) for rows in (vectors, features, asked))
    # Drawn, not the first ones: public images are often sorted by class.
    rows = np.random.default_rng(0).permutation(len(x))[:_MOST_PAIRS]
    x, y = x[rows], y[rows]
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    return (x - mean) / scale, y - y.mean(0), (z - mean) / scale


def _network(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, _WIDTH):
        layers += [nn.Linear(before, _WIDTH), nn.SiLU(), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(_WIDTH, outputs))


def _train(network: nn.Sequential, x: Tensor, wanted: Tensor, tau: float) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=0.01)
    batch = min(_BATCH, len(x))
    steps = _EPOCHS * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(x)).split(batch):
            if len(rows) < batch:
                continue
            logits = F.normalize(network(x[rows]), dim=1) @ wanted[rows].T / tau
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits, torch.arange(len(rows))).backward()
            optimiser.step()
            schedule.step()
    network.eval()
