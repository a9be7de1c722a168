"""Measuring one setting on vectors alone: fit, ceiling, linkage attackers, utility."""

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn

import featinv as fi
from featinv.attacks.aligned import LEAST_BESIDE, align
from featinv.attacks.unpaired_alignment import align_unpaired
from featinv.defences import RandomRotation, known_release, least_batch, parts, whole_release
from featinv.defend.candidates import Candidate
from featinv.defend.inputs import Inputs
from featinv.defend.measurement import Measurement
from featinv.errors import BadInput
from featinv.evaluation import Interval
from featinv.evaluation.ceiling import Ceiling, reidentification_ceiling
from featinv.evaluation.ceiling_bounds import bounds_of
from featinv.evaluation.intervals import bootstrap
from featinv.evaluation.mutual_information import choose_temperature, identified_bits
from featinv.evaluation.utility import Utility, UtilityVectors, utility
from featinv.evaluation.vector_linkage import aligned_linkage, nearest_linkage
from featinv.processes import seeded

PAIRS = 32
"""images that the attacker on a secret map is taken to recognise, where the gallery has as many to spare"""
UNPAIRED, ENOUGH = 2000, 0.97
"""own vectors that an attacker without pairs aligns with, and the fit at which no other start is tried: seconds"""
_TEMPERATURE_NUMBERS = 2**19
"""numbers of the public vectors on which the temperature of identified bits is chosen: 500 of up to 1,048"""
LIKELIHOOD = "likelihood ranking"
_GROUPING, _CLUSTERING, _READING = 60_000_000, 2_500_000_000, 1_000_000_000
"""most that a setting of the built-in grid may take, each in its own count (`too_long`)"""
_FIT, _RELEASE, _PUBLIC = 51, 52, 53
"""streams of draws: fitting, the release, the attacker's own copies"""


def too_long(candidate: Candidate, inputs: Inputs) -> str:
    """Return why a setting of the built-in grid would take minutes on these vectors, "" where it takes seconds.

    Rough counts: pairs of vectors that groups compare, numbers that one round of k-means compares, and numbers that a
    sum of absolute differences reads for one draw.
    """
    count, advice = len(inputs.private), "takes minutes here; name it in --defences to measure it"
    for part in candidate.parts:
        given = part.args
        grouping = count**2 // int(given["k"]) if part.name == "Microaggregate" else 0
        codes = 2 ** int(given["bits"]) if part.name in ("Codebook", "ProductCodes") else 0
        clustering = len(inputs.fit_rows) * codes * inputs.width
        reading = inputs.gallery**2 * inputs.width if part.name == "Laplace" else 0
        if grouping > _GROUPING or clustering > _CLUSTERING or reading > _READING:
            return advice
    return ""


def fit_defence(candidate: Candidate, inputs: Inputs) -> nn.Module:
    """Return the defence fitted on public vectors; the same inputs give the same defence. Raises BadInput as it does.

    Raises BadInput too for a defence that changes the vectors at zero strength, and for one that makes NaN.
    """
    defence = candidate.defence(inputs.units)
    try:
        public = inputs.fit_features
        fi.defences.fit(defence, public, seed=_seed(inputs.seed, _FIT))
        some = public.rows[: max(8, least_batch(defence))].reshape(-1, *inputs.shape)
        _check_identity(defence, torch.from_numpy(some))
    except BadInput as error:
        raise BadInput(f"--defences: {candidate.shown}: {error}") from error
    return defence.eval().requires_grad_(False)


def measure(
    candidate: Candidate, inputs: Inputs, top: tuple[int, ...], raw: Utility | None
) -> tuple[Measurement, Utility]:
    """Return the numbers of one setting; `raw` is the undefended utility, None for the undefended vectors themselves.

    Raises BadInput for a defence that cannot be fitted or gives NaN, and for a likelihood that is not one.
    """
    try:
        return _measure(candidate, inputs, top, raw)
    except BadInput as error:
        said = str(error)
        raise BadInput(said if said.startswith("--") else f"--defences: {candidate.shown}: {said}") from error


def _measure(
    candidate: Candidate, inputs: Inputs, top: tuple[int, ...], raw: Utility | None
) -> tuple[Measurement, Utility]:
    started = time.monotonic()
    defence = fit_defence(candidate, inputs)
    together = whole_release(defence)
    rows = np.arange(len(inputs.private)) if together else np.union1d(inputs.asked_rows, inputs.gallery_rows)
    released = _defended(defence, inputs.private, inputs, rows, _RELEASE)
    public = _defended(defence, inputs.public, inputs, inputs.learn_rows, _PUBLIC)
    ceiling = _ceiling(defence, inputs, top, released if together else None)
    useful = _utility(inputs, released[np.searchsorted(rows, inputs.asked_rows)], public, raw)
    size = inputs.gallery
    attacks = _linkage(defence, inputs, released[np.searchsorted(rows, inputs.gallery_rows)], ceiling, top)
    measurement = Measurement(
        label=candidate.shown,
        family=candidate.family,
        fingerprint=fi.defences.fingerprint(defence),
        ceilings={k: ceiling.upper(k, size) for k in top},
        ceiling_rates={k: ceiling.intervals[k, size] for k in top if (k, size) in ceiling.intervals},
        attacks=attacks,
        utility=useful.intervals(),
        kept=useful.kept(useful if raw is None else raw, seed=inputs.seed),
        bits=_bits(defence),
        identified=_identified(defence, inputs, released[np.searchsorted(rows, inputs.gallery_rows)]),
        seconds=time.monotonic() - started,
        notes=_notes(defence, ceiling),
    )
    return measurement, useful


def defended_sides(defence: nn.Module, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Return all private and all public vectors as the defence releases them, flat."""
    private = _defended(defence, inputs.private, inputs, np.arange(len(inputs.private)), _RELEASE)
    return private, _defended(defence, inputs.public, inputs, np.arange(len(inputs.public)), _PUBLIC)


def _utility(inputs: Inputs, released: np.ndarray, public: np.ndarray, raw: Utility | None) -> Utility:
    """Measure on private vectors after learning from public ones, else on a fifth of the side that has labels."""
    asked, learn = inputs.asked_rows, inputs.learn_rows
    private_labels = None if inputs.private_labels is None else inputs.private_labels[asked]
    public_labels = None if inputs.public_labels is None else inputs.public_labels[learn]
    private_side = UtilityVectors(released, inputs.private[asked], private_labels)
    public_side = UtilityVectors(public, inputs.public[learn], public_labels)
    if (private_labels is None) == (public_labels is None):
        return utility(public_side, private_side, head=inputs.head, seed=inputs.seed, raw=raw)
    return utility(private_side if public_labels is None else public_side, head=inputs.head, seed=inputs.seed, raw=raw)


def _ceiling(defence: nn.Module, inputs: Inputs, top: tuple[int, ...], whole: np.ndarray | None) -> Ceiling:
    """Return the ceiling in one gallery; a defence of the whole release sees all of it, in galleries of that size.

    `whole` is the release of all private vectors, where it is defended as a whole: groups are not formed again.
    """
    rows = inputs.gallery_rows if whole is None else np.arange(len(inputs.private))
    clean = torch.from_numpy(np.ascontiguousarray(inputs.private[rows]).reshape(-1, *inputs.shape))
    release = known_release(defence)
    galleries = (inputs.gallery,)
    if whole is None or release is None or release.noise is not None:
        return reidentification_ceiling(defence, clean, galleries=galleries, top=top, seed=inputs.seed)
    ceiling = reidentification_ceiling(Made(whole), clean, galleries=galleries, top=top, seed=inputs.seed)
    return replace(ceiling, bounds=bounds_of(defence, len(clean), galleries, top), of=repr(defence))


class Made(nn.Module):
    """A deterministic release that was made already."""

    deterministic = True

    def __init__(self, released: Float[np.ndarray, "N E"]) -> None:
        super().__init__()
        self.released = torch.from_numpy(released)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return it for the same vectors."""
        if len(features) != len(self.released):
            raise BadInput(f"release: expected all {len(self.released)} vectors, got {len(features)}")
        return self.released


def _linkage(
    defence: nn.Module, inputs: Inputs, released: np.ndarray, ceiling: Ceiling, top: tuple[int, ...]
) -> dict[str, dict[int, Interval]]:
    """Return what attackers reach who have the candidates' own vectors."""
    size, rows = inputs.gallery, inputs.gallery_rows
    candidates = np.ascontiguousarray(inputs.private[rows])
    attacks: dict[str, dict[int, Interval]] = {}
    secret = any(isinstance(part, RandomRotation) and not part.is_identity for part in parts(defence))
    together = whole_release(defence)
    # Who knows the secret, or the groups of all released vectors, ranks by likelihood; such an attacker is not tried.
    if ceiling.known and ceiling.exact and not secret and not together:
        attacks[LIKELIHOOD] = {k: ceiling.intervals[k, size] for k in top}
    if released.shape == candidates.shape:
        near = nearest_linkage(released, candidates, seed=inputs.seed)
        attacks["nearest vector"] = {k: near.top(k) for k in top}
    if not secret and not together and any(not getattr(part, "is_identity", False) for part in parts(defence)):
        own = _defended(defence, inputs.private, inputs, rows, _PUBLIC)
        near = nearest_linkage(released, own, seed=inputs.seed)
        attacks["nearest defended vector"] = {k: near.top(k) for k in top}
    if secret and len(candidates) >= 8:
        attacks |= _aligned(released, candidates, inputs, top)
    return attacks


def _aligned(
    released: np.ndarray, candidates: np.ndarray, inputs: Inputs, top: tuple[int, ...]
) -> dict[str, dict[int, Interval]]:
    """Return what attackers reach who lack the secret: one who recognises some images, and one who knows no pair."""
    pairs = min(PAIRS, len(released) // 4)
    pair_rows = np.sort(np.random.default_rng([inputs.seed, 54]).permutation(len(released))[:pairs])
    own = inputs.public[inputs.learn_rows]
    alignment = align(released, own, (released[pair_rows], candidates[pair_rows]), unpaired=False, seed=inputs.seed)
    linkage = aligned_linkage(released, candidates, own, known_rows=pair_rows, alignment=alignment, seed=inputs.seed)
    attacks = {f"aligned, {pairs} known pairs": {k: linkage.top(k) for k in top}}
    if min(len(released), len(own)) >= LEAST_BESIDE:
        some = np.random.default_rng([inputs.seed, 55]).permutation(len(own))[:UNPAIRED]  # rows may be sorted by class
        alignment = align_unpaired(released, own[some], runs=1, enough=ENOUGH, seed=inputs.seed)
        linkage = aligned_linkage(released, candidates, own, alignment=alignment, seed=inputs.seed)
        attacks["aligned, no known pairs"] = {k: linkage.top(k) for k in top}
    return attacks


@torch.no_grad()
def _defended(
    defence: nn.Module, clean: Float[np.ndarray, "N D"], inputs: Inputs, rows: Int64[np.ndarray, " K"], stream: int
) -> Float[np.ndarray, "K E"]:
    """Return the defended vectors of these rows, flat; a private release as a whole where the defence needs it."""
    whole = whole_release(defence) and stream == _RELEASE
    chosen = clean if whole else clean[rows]
    features = torch.from_numpy(np.array(chosen, dtype=np.float32).reshape(-1, *inputs.shape))
    with seeded(inputs.seed, stream):
        defended: Any = defence(features)
    released: np.ndarray = defended.flatten(1).float().numpy()
    if not np.isfinite(released).all():
        raise BadInput(f"{defence!r}: expected finite vectors, got NaN or infinity; correct the defence")
    return released[rows] if whole else released


def _check_identity(defence: nn.Module, features: torch.Tensor) -> None:
    """Raise BadInput where a part says that its strength is zero and changes the vectors."""
    for part in parts(defence):
        if getattr(part, "is_identity", False) is True:
            with torch.no_grad():
                output = copy.deepcopy(part)(features.clone())
            if output.shape != features.shape or not torch.equal(output, features):
                raise BadInput(f"{part!r}: expected the identity at zero strength, got other vectors; correct it")


def _identified(defence: nn.Module, inputs: Inputs, released: np.ndarray) -> Interval | None:
    """Return how many bits the released vectors' similarities identify at least, from 0 to log2 of the gallery."""
    if released.shape[1] != inputs.width:
        return None
    rows = inputs.learn_rows[: max(100, min(500, _TEMPERATURE_NUMBERS // inputs.width))]
    temperature = choose_temperature(_defended(defence, inputs.public, inputs, rows, _PUBLIC), inputs.public[rows])
    bits = bootstrap(identified_bits(released, inputs.private[inputs.gallery_rows], temperature), seed=inputs.seed)
    most = float(np.log2(inputs.gallery))
    mean, low, high = (min(most, max(0.0, value)) for value in (bits.mean, bits.low, bits.high))
    return Interval(mean, low, high, bits.n)


def _bits(defence: nn.Module) -> float | None:
    counted: Mapping[int, Any] = dict(enumerate(getattr(part, "code_bits", None) for part in parts(defence)))
    code_bits = [bits for count in counted.values() if callable(count) and (bits := count()) is not None]
    return min(code_bits, default=None)


def _notes(defence: nn.Module, ceiling: Ceiling) -> tuple[str, ...]:
    notes = []
    if ceiling.known and not ceiling.exact:
        notes.append(f"the ceiling is that of {ceiling.of}; what follows can only lower it")
    if any(isinstance(part, RandomRotation) and not part.is_identity for part in parts(defence)):
        notes.append("the ceiling is that of an attacker who has the key")
    privacy = [bound.text for bound in ceiling.bounds if bound.worst_case]
    notes += [f"worst case: {privacy[0]}"] if privacy else []
    return tuple(notes)


def _seed(*numbers: int) -> int:
    return int(np.random.default_rng(numbers).integers(2**31))
