"""An adversarial training equals a hand-written loop, however it is cut up; and what breaks that contract."""

import copy
import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adversarial_parts import make_adversary
from adversarial_reference import GAMMA, PLAIN, Outcome, by_hand, weights
from torch import Tensor
from training_parts import DoublePairs, Squared, make_decoder, make_pairs

from featinv import Adversary
from featinv.discriminators import DiffAugment
from featinv.losses import R1, R2, LeCam, hinge, relativistic
from featinv.training import FitOptions, fit_decoder

ADVERSARIAL_LOSSES = ("hinge", "relativistic")


def adversary_of(adversarial: str, **settings: Any) -> Adversary:
    """Either loss of the tests: unconditional hinge, or the relativistic one, conditional, with lazy R1 and R2."""
    settings = {"eps": 1e-4, "weight": 0.3} | settings
    if adversarial == "hinge":
        return make_adversary(hinge, **settings)
    penalties = [R1(GAMMA, every=2), R2(GAMMA, every=3)]
    return make_adversary(relativistic, conditional=True, **{"penalties": penalties} | settings)


def fit(adversary: Adversary, *, double: bool = False, **changes: Any) -> Outcome:
    pairs, decoder = make_pairs(100), make_decoder()
    if double:
        pairs, decoder = DoublePairs(pairs), decoder.double()
        adversary.discriminator.double()
    fitted = fit_decoder(
        decoder, Squared(), pairs, replace(PLAIN, **changes), FitOptions(progress=False), adversary=adversary
    )
    return Outcome(weights(decoder), fitted.weights, weights(adversary.discriminator))


@functools.cache
def reference(adversarial: str, *, double: bool = False, decoder_every: int = 1, **how: Any) -> Outcome:
    """What the hand-written loop comes to."""
    pairs, decoder, adversary = make_pairs(100), make_decoder(), adversary_of(adversarial, decoder_every=decoder_every)
    if double:
        pairs, decoder = DoublePairs(pairs), decoder.double()
        adversary.discriminator.double()
    return by_hand(decoder, adversary, pairs, relativistic=adversarial == "relativistic", **how)


def apart(one: Outcome, other: Outcome) -> float:
    """The largest difference of any weight of decoder, average and discriminator."""

    def largest(these: dict[str, Tensor], those: dict[str, Tensor]) -> float:
        assert these.keys() == those.keys()
        return max(float((these[name].double() - those[name].double()).abs().max()) for name in these)

    return max(map(largest, one, other))


@pytest.mark.parametrize("adversarial", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("accumulation", [1, 4])
def test_in_float64_it_is_the_hand_written_loop_to_1e_10(adversarial: str, accumulation: int) -> None:
    ours = fit(adversary_of(adversarial), double=True, accumulation=accumulation)
    assert apart(ours, reference(adversarial, double=True)) < 1e-10
    first = weights(adversary_of(adversarial).discriminator)
    assert any(float((ours.discriminator[name] - first[name]).abs().max()) > 1e-3 for name in first), "it learned"


@pytest.mark.parametrize("adversarial", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("accumulation", [1, 4])
def test_in_float32_it_is_the_hand_written_loop_to_1e_5(adversarial: str, accumulation: int) -> None:
    assert apart(fit(adversary_of(adversarial), accumulation=accumulation), reference(adversarial)) < 1e-5


@pytest.mark.parametrize("adversarial", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("split", [1, 3])
def test_in_bf16_it_is_the_hand_written_autocast_loop_at_the_same_split(adversarial: str, split: int) -> None:
    ours = fit(adversary_of(adversarial), mixed_precision="bf16", accumulation=split)
    assert apart(ours, reference(adversarial, split=split, autocast=True)) < 1e-5
    assert apart(ours, reference(adversarial, split=split)) > 1e-4, "nothing was autocast"


@pytest.mark.parametrize("every", [2, 5])
def test_the_decoder_waits_for_the_critic(every: int) -> None:
    ours = fit(adversary_of("hinge", decoder_every=every), double=True, accumulation=2)
    assert apart(ours, reference("hinge", double=True, decoder_every=every)) < 1e-10
    assert apart(ours, reference("hinge", double=True)) > 1e-4


# ------------------------------------------------------------------------------------------- what breaks the contract

BREAKERS = {
    # (settings, the decoder's weights then differ between accumulation 1 and 4 by at least and at most, measured)
    "batch statistics": ({"norm": "batch"}, 3e-4, 1e-2, 1.5e-3),
    "power iterations": ({"norm": "spectral"}, 1e-5, 4e-4, 4.2e-5),
    "adaptive weight": ({"adaptive": True}, 1e-3, 5e-2, 8.0e-3),
    "LeCam's averages": ({"penalties": [LeCam(start=3)]}, 2e-5, 1e-3, 1.1e-4),
    "random augmentation": ({"augment": DiffAugment()}, 1e-3, 5e-2, 9.9e-3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKERS)
def test_what_is_a_matter_of_micro_batches_by_nature_breaks_the_law_by_so_much(name: str) -> None:
    settings, least, most, measured = BREAKERS[name]
    whole = fit(adversary_of("hinge", **copy.deepcopy(settings)), double=True)
    parts = fit(adversary_of("hinge", **copy.deepcopy(settings)), double=True, accumulation=4)
    differs = max(float((whole.decoder[key] - parts.decoder[key]).abs().max()) for key in whole.decoder)
    assert least < measured < most
    assert least < differs < most


# ------------------------------------------------------------------------------------------- two processes

SCRIPT = """
import sys, torch
from featinv import processes
from featinv.discriminators import DiffAugment
from featinv.losses import LeCam
from test_adversarial_contracts import ADVERSARIAL_LOSSES, adversary_of, fit
torch.set_num_threads(1)
outcomes = [
    fit(adversary_of(adversarial), double=double, accumulation=accumulation)
    for adversarial in ADVERSARIAL_LOSSES for double in (True, False) for accumulation in (1, 2)
]
# What breaks the contract must still run: a batch norm in two passes before one backward, averages over processes.
more = {"norm": "batch", "adaptive": True, "augment": DiffAugment(), "decoder_every": 2}
other = fit(adversary_of("hinge", penalties=[LeCam(start=3)], **more), accumulation=2)
assert all(tensor.isfinite().all() for network in other for tensor in network.values())
told = processes.gather([float(other.discriminator["last.weight"].sum()), float(other.decoder["mix.weight"].sum())])
assert told[0] == told[1], told
if processes.is_main():
    torch.save([tuple(outcome) for outcome in outcomes], sys.argv[1] + "/weights.pt")
"""


@pytest.mark.multiprocess
def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(SCRIPT)
    tests = Path(__file__).parent
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": f"{tests}:{tests.parent}"}
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    command = [sys.executable, *launch.split(), "--dynamo_backend", "no", "--main_process_port", "0"]
    ran = subprocess.run(
        [*command, str(tmp_path / "two.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    outcomes = iter(torch.load(tmp_path / "weights.pt"))
    for adversarial in ADVERSARIAL_LOSSES:
        for double in (True, False):
            alone = fit(adversary_of(adversarial), double=double)
            for _ in (1, 2):
                assert apart(Outcome(*next(outcomes)), alone) < (1e-10 if double else 1e-5)
