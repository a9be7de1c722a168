"""The parts of a training, each alone: settings, schedule, order of the images, average, optimisers, history."""

import dataclasses
import math
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from training_parts import StandIn, Views, make_decoder, make_pairs

from featinv import BadInput, Diverged, Training, processes
from featinv.training import Ema, Selection
from featinv.training import progress as progress_module
from featinv.training.batches import Batches, hold_out, seed_step
from featinv.training.callbacks import format_duration
from featinv.training.history import History
from featinv.training.network_optimizer import optimiser
from featinv.training.progress import Progress, rate

# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", 0),
        ("batch_size", 0),
        ("accumulation", 0),
        ("minutes", 0),
        ("minutes", -1.0),
        ("lr", 0.0),
        ("lr", math.nan),
        ("clip", 0.0),
        ("ema", 1.0),
        ("warmup", 1.0),
        ("holdout", -0.1),
        ("holdout", 2.5),
        ("holdout", math.nan),
        ("weight_decay", -1.0),
        ("betas", (0.9, 1.0)),
        ("validate_every", 0),
        ("seed", -1),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=rf"training\.{name}: expected .* got"):
        Training(**{name: value})


def test_the_best_cannot_be_kept_without_held_out_pairs() -> None:
    with pytest.raises(BadInput, match="keep"):
        Training(holdout=0, keep="best")
    assert Training(holdout=0).kept() == "last"
    assert Training().kept() == "best"
    assert Training().kept(adversarial=True) == "last"
    with pytest.raises(BadInput, match=r"training\.keep: expected 'last' or null with an adversary"):
        Training(keep="best").kept(adversarial=True)


def test_the_papers_settings_are_the_notebooks() -> None:
    paper = Training.paper()
    assert (paper.optimiser, paper.lr, paper.rho, paper.eps) == ("adadelta", 1.0, 0.95, 1e-7)
    assert (paper.batch_size, paper.images) == (30, 74 * 10_000)
    assert not paper.standardise
    assert paper.schedule == "constant"
    assert rate(paper, 0.0) == rate(paper, 0.9) == 1.0


def test_every_setting_is_a_documented_flag() -> None:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Training, None)
    helps = {action.dest: action.help for action in parser._actions}
    for field in dataclasses.fields(Training):
        assert len(helps[field.name].split()) >= 2, field.name
    built = parser.instantiate(parser.parse_args(["--holdout", "500", "--minutes", "3", "--clip", "null"]))
    assert (built.holdout, built.minutes, built.clip) == (500, 3, None)


# ------------------------------------------------------------------------------------------------ schedule, clock


def test_the_rate_is_a_ramp_and_half_a_cosine() -> None:
    settings = Training(warmup=0.2)
    assert rate(settings, 0.1) == pytest.approx(0.5)
    assert rate(settings, 0.2) == pytest.approx(1.0)
    assert rate(settings, 0.4) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert rate(settings, 0.6) == pytest.approx(0.5)
    assert rate(settings, 1.0) == pytest.approx(0.0)
    assert 0 < rate(settings, 0.0) < 0.01


@given(st.floats(0, 1), st.floats(0, 0.9))
def test_the_rate_stays_within_bounds(fraction: float, warmup: float) -> None:
    assert 0 <= rate(Training(warmup=warmup), fraction) <= 1


def test_a_bound_in_minutes_ends_the_training_and_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    progress = Progress(Training(images=10_000, minutes=1))
    now += 15.0
    progress.advance(1000)
    assert progress.fraction == pytest.approx(0.25)
    now += 45.0
    progress.advance(1000)
    assert progress.done
    resumed = Progress(Training(images=10_000, minutes=1))
    now += 1000.0
    resumed.load_state_dict({"step": 1, "images": 1000, "seconds": 15.0})
    resumed.advance(1000)
    assert resumed.seconds == pytest.approx(15.0), "the time between is not counted"


@given(st.integers(1, 40), st.integers(1, 97), st.integers(1, 30))
def test_callbacks_are_called_once_for_every_multiple_crossed(batch: int, every: int, resume_at: int) -> None:
    settings = Training(images=600)
    progress, crossed = Progress(settings), []
    while not progress.done:
        progress.advance(batch)
        if progress.step == resume_at:  # a resumed one answers alike
            again = Progress(settings)
            again.load_state_dict(progress.state_dict())
            assert not again.every(images=every)
        crossed.append(progress.every(images=every))
    expected = {math.ceil(m * every / batch) for m in range(1, progress.images // every + 1)}
    assert {step + 1 for step, due in enumerate(crossed) if due} == expected


def test_parts_of_the_budget_are_crossed_exactly_as_often_as_there_are_parts() -> None:
    progress, count = Progress(Training(images=1000)), 0
    while not progress.done:
        progress.advance(10)
        count += progress.every(parts=20)
    assert count == 20


def test_durations_are_formatted_for_reading() -> None:
    assert [format_duration(s) for s in (3.2, 240.0, 9000.0)] == ["4 s", "4 min", "2.5 h"]


# ------------------------------------------------------------------------------------------------ batches


@given(count=st.integers(1, 60), batch=st.integers(1, 70), seed=st.integers(0, 5))
def test_an_epoch_shows_every_image_at_most_once_and_leaves_less_than_a_batch_out(
    count: int, batch: int, seed: int
) -> None:
    batches = Batches(make_pairs(count), batch_size=batch, seed=seed)
    steps = count // min(batch, count)
    seen = np.concatenate([batches.indices(step) for step in range(steps)])
    assert len(set(seen.tolist())) == len(seen) > count - min(batch, count)


def test_epochs_differ_and_a_step_does_not_depend_on_what_was_asked_before() -> None:
    pairs = make_pairs(40)
    batches = Batches(pairs, batch_size=8, seed=1)
    orders = [np.concatenate([batches.indices(5 * epoch + step) for step in range(5)]) for epoch in range(3)]
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    fresh = Batches(pairs, batch_size=8, seed=1)
    assert np.array_equal(fresh.indices(12), batches.indices(12))
    assert not np.array_equal(Batches(pairs, batch_size=8, seed=2).indices(0), batches.indices(0))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batch_of_one(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Batches(Views(), batch_size=10, seed=0, flips=True).load(7)
    parts = []
    for rank in range(world):
        monkeypatch.setattr(processes, "world_size", lambda: world)
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        parts.append(Batches(Views(), batch_size=10, seed=0, flips=True).load(7))
    assert torch.equal(torch.cat([part.features for part in parts]), whole.features)
    assert all(part.total == 10 for part in parts)


def test_about_half_of_the_draws_are_mirrored_with_their_own_features() -> None:
    batches = Batches(Views(), batch_size=50, seed=0, flips=True)
    signs = torch.cat([batches.load(step).features for step in range(20)]).sign().flatten()
    assert 0.44 < (signs < 0).float().mean() < 0.56  # 1000 draws: four deviations
    assert (Batches(Views(), batch_size=50, seed=0).load(0).features > 0).all()


def test_flips_without_mirrored_features_are_refused() -> None:
    with pytest.raises(BadInput, match=r"training\.flips"):
        Batches(make_pairs(4), batch_size=2, seed=0, flips=True)


def test_more_processes_than_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "world_size", lambda: 3)
    with pytest.raises(BadInput, match="3 processes"):
        Batches(make_pairs(10), batch_size=2, seed=0)


def test_held_out_pairs_are_disjoint_and_seeded() -> None:
    pairs = make_pairs(50)
    train, held = hold_out(pairs, 0.1, seed=3)
    assert (len(train), len(held)) == (45, 5)
    assert {*train.images.ids} | {*held.images.ids} == {*pairs.images.ids}
    assert hold_out(pairs, 0.1, seed=3)[1].images.ids == held.images.ids
    assert hold_out(pairs, 0.1, seed=4)[1].images.ids != held.images.ids
    assert len(hold_out(pairs, 7, seed=3)[1]) == 7
    assert len(hold_out(_Many(100_000), 0.5, seed=3)[1]) == 2000, "a share has a ceiling"
    assert hold_out(pairs, 0, seed=3) == (pairs, None)


class _Many(StandIn):
    feature_shape, image_size, views = (1,), 2, 1

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def take(self, indices: np.ndarray) -> "_Many":
        return _Many(len(indices))


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(BadInput, match="at least one pair"):
        hold_out(_Many(0), 0.1, seed=0)
    with pytest.raises(BadInput, match="1 held out of 1"):
        hold_out(make_pairs(1), 0.1, seed=0)


def test_the_random_state_of_a_step_is_a_function_of_seed_and_number() -> None:
    def drawn(seed: int, step: int) -> list[float]:
        seed_step(seed, step, torch.device("cpu"))
        return torch.rand(4).tolist()

    assert drawn(0, 1) == drawn(0, 1)
    assert len({tuple(drawn(*key)) for key in [(0, 1), (1, 0), (0, 2), (1, 1)]}) == 4


# ------------------------------------------------------------------------------------------------ average, optimisers


def test_the_average_follows_its_formula_and_forgets_the_initialisation() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 2).double()
    ema = Ema(network, 0.9)
    expected = None
    for count in range(40):
        with torch.no_grad():
            network.weight.normal_()
        ema.update_parameters(network)
        decay = min(0.9, (1 + count) / (10 + count))
        now = network.weight.detach().clone()
        expected = now if expected is None else decay * expected + (1 - decay) * now
        torch.testing.assert_close(ema.network.weight.detach(), expected, rtol=1e-12, atol=1e-12)


def test_the_average_copies_buffers_and_its_state_can_be_restored() -> None:
    network = nn.BatchNorm1d(2)
    ema = Ema(network, 0.5)
    for _ in range(3):
        network(torch.randn(5, 2))
        ema.update_parameters(network)
    assert torch.equal(ema.network.running_mean, network.running_mean)
    assert not ema.network.training
    again = Ema(nn.BatchNorm1d(2), 0.5)
    again.load_state_dict(ema.state_dict())
    assert int(again.n_averaged) == 3


def test_adadelta_is_keras_adadelta() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3))
    parameter = nn.Parameter(torch.tensor(weight))
    ours = optimiser([parameter], Training.paper())
    accumulated, updates = np.zeros_like(weight), np.zeros_like(weight)
    for _ in range(25):
        gradient = rng.normal(size=weight.shape)
        # keras.optimizers.Adadelta (Keras 2): lr=1.0, rho=0.95, epsilon=1e-7.
        accumulated = 0.95 * accumulated + 0.05 * gradient**2
        update = gradient * np.sqrt(updates + 1e-7) / np.sqrt(accumulated + 1e-7)
        weight = weight - 1.0 * update
        updates = 0.95 * updates + 0.05 * update**2
        parameter.grad = torch.tensor(gradient)
        ours.step()
    np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-12)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(BadInput, match="at least one parameter"):
        optimiser(nn.Linear(2, 2).requires_grad_(False).parameters(), Training())


def test_selection_keeps_a_copy_of_the_best() -> None:
    network, selection = nn.Linear(1, 1), Selection()
    best = network.weight.detach().clone()
    assert selection.offer(network, 20.0, 1)
    with torch.no_grad():
        network.weight.add_(1)
    assert not selection.offer(network, 19.0, 2)
    assert not selection.offer(network, 20.0, 3), "the first of equals"
    again = Selection()
    again.load_state_dict(selection.state_dict())
    assert (again.score, again.step) == (20.0, 1)
    assert again.weights is not None
    assert torch.equal(again.weights["weight"], best)


# ------------------------------------------------------------------------------------------------ history


def _values(loss: float) -> dict[str, torch.Tensor]:
    return {"train/loss": torch.tensor(2 * loss), "train/loss/MSE": torch.tensor(loss)}


def test_rows_hold_means_since_the_row_before() -> None:
    settings = Training(images=200 * 4)
    progress, history = Progress(settings), History(settings)
    for loss in (1.0, 3.0, 5.0, 7.0, 2.0):  # a row is due every fourth image
        progress.advance(2)
        history(progress, _values(loss))
    assert [row["train/loss/MSE"] for row in history.rows] == [2.0, 6.0]
    assert [row["step"] for row in history.rows] == [2, 4]
    history.record(progress, {"val/psnr": 11.0})
    history.record(progress, {"other": 1.0})
    assert history.rows[-1]["val/psnr"] == 11.0
    assert history.rows[-1]["other"] == 1.0
    assert (len(history.rows), history.rows[-1]["train/loss/MSE"]) == (3, 2.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_its_term_and_step(bad: float) -> None:
    settings = Training()
    progress, history = Progress(settings), History(settings)
    progress.advance(128)
    history(progress, _values(1.0))
    progress.advance(128)
    with pytest.raises(Diverged, match=r"train/loss/MSE became (nan|inf) in step 2 \(256 images\).*lr"):
        history(progress, _values(bad))


def test_where_looking_is_dear_the_steps_between_two_looks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(processes, "broadcast", lambda value: value)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor)
    settings = Training(images=10**9)
    progress, history = Progress(settings), History(settings)
    for step in range(1, 40):
        progress.advance(1)
        history(progress, _values(math.nan if step == 33 else 1.0))
    progress.advance(1)
    with pytest.raises(Diverged, match="steps 21 to 40"):
        history(progress, _values(1.0))


def test_a_restored_history_goes_on_within_a_row() -> None:
    settings = Training(images=200 * 4)
    progress, history = Progress(settings), History(settings)
    progress.advance(2)
    history(progress, _values(1.0))
    again = History(settings)
    again.load_state_dict(history.state_dict())
    progress.advance(2)
    again(progress, _values(3.0))
    assert again.rows[0]["train/loss/MSE"] == 2.0


def test_the_tiny_decoder_is_what_the_contracts_assume() -> None:
    assert not any(isinstance(part, nn.BatchNorm2d) for part in make_decoder().modules())
