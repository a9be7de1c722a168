"""Networks as people have them: in half precision, scripted, without gradients, and with outputs of other shapes."""

import copy
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import featinv as fi
from featinv.audit.live_source import LiveSource, why_black_box
from featinv.encoders.frozen import check_images

SIDE = 16
IMAGES = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def network(*, channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(channels, 6, 3, stride=2)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(6, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def wrapped(function: Any, **more: Any) -> "fi.encoders.Encoder":
    return fi.encoders.wrap(function, name="theirs", family="custom", input_size=SIDE, **more)


class Holder:
    """An output of some library: no mapping, its tensors as attributes."""

    def __init__(self, x: Tensor) -> None:
        self.mask = x[:, 0, 0, 0] > 0.5
        self.pooled = x.mean((2, 3))


# ------------------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize(
    ("precision", "close"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-6)], ids=str
)
@pytest.mark.parametrize("layer", [None, "2"])
def test_a_network_is_fed_its_own_precision_and_answers_in_float32(
    precision: torch.dtype, close: float, layer: str | None
) -> None:
    seen = []
    theirs = network().to(precision)
    theirs[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].dtype))
    encoder = wrapped(theirs, layer=layer, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    features = encoder(IMAGES)
    assert set(seen) == {precision}
    assert features.dtype == torch.float32
    expected = wrapped(network(), layer=layer, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))(IMAGES)
    torch.testing.assert_close(features, expected, atol=close, rtol=0)
    assert {parameter.dtype for parameter in theirs.parameters()} == {precision}
    assert encoder.differentiable


def test_an_encoder_of_another_precision_keeps_its_contract() -> None:
    assert wrapped(network()).double()(IMAGES.double()).dtype == torch.float32
    half = wrapped(network()).to(torch.bfloat16)
    torch.testing.assert_close(half(IMAGES), wrapped(network())(IMAGES), atol=2e-2, rtol=0)


def test_a_half_precision_network_behind_a_function_is_named() -> None:
    inner = network().half()
    with pytest.raises(
        fi.BadInput, match=r"theirs: the network failed on .*wrap\(lambda x: network\(x.half\(\)\), \.\.\.\)"
    ):
        wrapped(lambda x: inner(x))
    assert wrapped(lambda x: inner(x.half())).feature_shape == (5,)


def test_a_pool_with_its_channels_last_is_a_vector() -> None:
    """As the average pools of graphs from TensorFlow are, (B, 1, 1, C)."""
    expected = IMAGES.mean((2, 3))
    torch.testing.assert_close(wrapped(lambda x: x.mean((2, 3))[:, None, None])(IMAGES), expected)
    torch.testing.assert_close(wrapped(lambda x: x.mean((2, 3))[:, :, None, None])(IMAGES), expected)


# ------------------------------------------------------------------------------------------------ scripted networks


@pytest.fixture(params=["scripted", "traced", "frozen"])
def scripted(request: pytest.FixtureRequest) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against it; people have such files
        theirs = network().eval()
        if request.param == "traced":
            return torch.jit.trace(theirs, IMAGES)
        made = torch.jit.script(theirs)
        return torch.jit.freeze(made) if request.param == "frozen" else made


def test_a_scripted_network_is_a_black_box_with_a_gradient(scripted: Any) -> None:
    encoder = wrapped(scripted)
    torch.testing.assert_close(encoder(IMAGES), wrapped(network())(IMAGES))
    assert encoder.layers == encoder.stages == []
    assert encoder.differentiable
    assert why_black_box(encoder) == "none of them gives maps of the image"
    torch.testing.assert_close(copy.deepcopy(encoder)(IMAGES), encoder(IMAGES))
    with pytest.raises(fi.BadInput, match="layer: expected None for .*scripted or traced network.*, got 0; give the"):
        wrapped(scripted, layer="0")
    with pytest.raises(fi.BadInput, match="scripted or traced"):
        encoder.taps(IMAGES, ["0"])
    assert fi.losses.FeatureConsistency(encoder) is not None


# ---------------------------------------------------------------------------------------------------- gradients

INNER = network().eval()


def under_no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return INNER(x)


def under_inference_mode(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return INNER(x)


class Detaching(nn.Module):
    """A network with layers, as a white box has them, whose stem runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.rest = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.stem(x).detach()).mean((2, 3))


STOPPING = {
    "no_grad": (under_no_grad, "computes under no_grad, or detaches"),
    "inference_mode": (under_inference_mode, "computes under no_grad, or detaches"),
    "detach": (lambda x: INNER(x).detach(), "computes under no_grad, or detaches"),
    "numpy": (lambda x: INNER(torch.from_numpy(x.numpy())).detach(), "differentiating it fails: Can't call numpy"),
    "rounded": (lambda x: INNER((x * 255).round() / 255), "its gradient is zero everywhere"),
    "constant": (lambda x: torch.ones(len(x), 4, requires_grad=True) * 2, "do not depend on the images"),
    "module": (Detaching(), "computes under no_grad, or detaches"),
}


@pytest.mark.parametrize("kind", STOPPING)
def test_a_network_that_stops_gradients_is_no_white_box(kind: str) -> None:
    function, reason = STOPPING[kind]
    encoder = wrapped(function)
    assert not encoder.differentiable
    assert reason in encoder.gradient_stop
    source = LiveSource(fi.Victim(encoder), SIDE, ())
    assert source.encoder is None
    assert why_black_box(encoder).startswith("no gradient passes through it: ")
    for loss in (fi.losses.FeatureConsistency, fi.losses.Perceptual):
        with pytest.raises(fi.BadInput, match=f"{loss.__name__}: expected an encoder that passes gradients") as refused:
            loss(encoder)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("layer", [None, "2"])
def test_a_network_that_passes_gradients_is_a_white_box(layer: str | None) -> None:
    encoder = wrapped(network(), layer=layer)
    with torch.no_grad():
        assert encoder.differentiable
    source = LiveSource(fi.Victim(encoder), SIDE, ())
    assert source.encoder is encoder
    assert fi.losses.Perceptual(encoder) is not None


def test_features_that_add_up_to_one_still_have_a_gradient() -> None:
    """The gradient of the sum of probabilities is zero."""
    assert wrapped(lambda x: INNER(x).softmax(1)).differentiable


def test_the_gradient_is_tried_once_and_leaves_the_random_state_alone() -> None:
    calls = []

    def counting(x: Tensor) -> Tensor:
        calls.append(len(x))
        return INNER(x) + torch.rand(len(x), 5)

    encoder = wrapped(counting)
    assert len(calls) == 1
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert encoder.differentiable
    assert encoder.differentiable
    assert len(calls) == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in INNER.parameters())


def test_an_audit_says_why_no_attack_looks_through_the_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from featinv.audit.live_source import open_victim

    (tmp_path / "shipped.py").write_text(
        "import torch\nimport featinv as fi\n\n"
        "def encoder():\n"
        "    inner = fi.encoders.tiny()\n"
        "    def frozen(x):\n"
        "        with torch.no_grad():\n"
        "            return inner(x)\n"
        "    return fi.encoders.wrap(frozen, name='shipped', family='resnet', input_size=32)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    sides = {"out": "run", "public": "old", "private": "new"}
    source = open_victim(fi.audit.AuditSettings(**sides, victim="shipped.encoder"))
    assert source.encoder is None
    reason = "No attack looked through the victim's layers, because no gradient passes through it: it computes under"
    assert any(note.startswith(reason) for note in source.notes)
    assert not any("No attack" in note for note in open_victim(fi.audit.AuditSettings(**sides, victim="tiny")).notes)


# ------------------------------------------------------------------------------------- shapes, with the right fix

POOLED = (2, 3)
OUTPUTS: dict[str, tuple[Any, str, Any]] = {
    "dict": (lambda x: {"mask": x[:, 0] > 0.5, "pooler_output": x.mean(POOLED)}, "['pooler_output']", (3,)),
    "dict without known names": (lambda x: {"ids": x.argmax(1), "z": x.mean(POOLED)}, "['z']", (3,)),
    "model output": (
        lambda x: OrderedDict(last_hidden_state=x.flatten(2).mT, pooler_output=x.mean(POOLED)),
        "['pooler_output']",
        (3,),
    ),
    "tuple": (lambda x: (x.mean(POOLED), x), "[0]", (3,)),
    "list, of which the second": (lambda x: [x.argmax(1), x.mean(POOLED)], "[1]", (3,)),
    "object": (Holder, ".pooled", (3,)),
    "five axes": (lambda x: x[:, None], ".flatten(1)", (3 * SIDE * SIDE,)),
    "channels last": (lambda x: x[:, :, ::2, ::2].permute(0, 2, 3, 1), ".permute(0, 3, 1, 2)", (3, 8, 8)),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_of_another_kind_names_the_expression_that_works(kind: str) -> None:
    """What the message says to write is written, and gives the features that were meant."""
    function, access, shape = OUTPUTS[kind]
    with pytest.raises(fi.BadInput, match="theirs: expected") as refused:
        wrapped(function)
    said = str(refused.value)
    expression = f"wrap(lambda x: network(x){access}, ...)"
    assert expression in said
    assert "\n" not in said
    fixed = eval(expression.removeprefix("wrap(").removesuffix(", ...)"), {"network": function})
    assert wrapped(fixed).feature_shape == shape


def test_arrays_and_labels_and_nothing() -> None:
    with pytest.raises(fi.BadInput, match=r"got ndarray; write wrap\(lambda x: torch.as_tensor\(network\(x\)\).float"):
        wrapped(lambda x: x.mean((2, 3)).detach().numpy())
    with pytest.raises(fi.BadInput, match=r"torch.int64 of shape \(2,\); take the scores before argmax"):
        wrapped(lambda x: x.flatten(1).argmax(1))
    with pytest.raises(fi.BadInput, match="got NoneType; return a tensor"):
        wrapped(lambda x: None)
    with pytest.raises(fi.BadInput, match="dict with the keys none; return a tensor"):
        wrapped(lambda x: {})


def test_a_layer_that_returns_a_tuple() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.GRU(SIDE, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.cells(x.mean(1))[0][:, -1]

    with pytest.raises(fi.BadInput, match=r"got tuple of 2.*or cut it at another layer"):
        wrapped(Recurrent(), layer="cells")


def test_maps_with_channels_first_and_attention_are_left_alone() -> None:
    for shape in ((8, 4, 4), (4, 4, 4), (7, 7), (12, 5, 5)):
        flat = int(torch.tensor(shape).prod())
        weights = torch.randn(flat, 3)
        made = wrapped(lambda x, weights=weights, shape=shape: (x.mean(POOLED) @ weights.T).reshape(-1, *shape))
        assert made.feature_shape == (shape if len(shape) == 3 else (flat,))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            network(channels=1),
            r"it takes gray images: write wrap\(lambda x: network\(x.mean\(1, keepdim=True\)\), ...\)",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)),
            r"give the side in pixels .* as input_size \(now 16\)",
        ),
        (nn.Conv2d(SIDE, 4, 1), r"it takes channels last: write wrap\(lambda x: network\(x.permute\(0, 2, 3, 1\)\)"),
        (lambda x, mask: x, "call it yourself on torch.zeros"),
    ],
)
def test_a_network_that_cannot_be_fed_is_one_line(function: Any, said: str) -> None:
    with pytest.raises(
        fi.BadInput, match=rf"theirs: the network failed on images \(2, 3, 16, 16\): .*{said}"
    ) as refused:
        wrapped(function)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "shape",
    [(5, 8, 8), (5, 1, 8, 8), (5, 4, 8, 8), (5, 8, 8, 3), (5, 8, 8, 1), (5, 8, 8, 4), (3, 8, 8), (8, 8, 3)],
)
@pytest.mark.parametrize("precision", [torch.uint8, torch.float32])
def test_the_conversion_that_is_named_for_images_works(shape: tuple[int, ...], precision: torch.dtype) -> None:
    numbers = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    x = numbers.to(torch.uint8) if precision == torch.uint8 else numbers / 255
    with pytest.raises(fi.BadInput, match="theirs: expected float images .*; convert them by ") as refused:
        check_images(x, name="theirs")
    converted = eval(str(refused.value).rpartition("convert them by ")[2], {"x": x})
    check_images(converted, name="theirs")
    assert converted.shape[1:] == (3, 8, 8)
    assert len(converted) == (5 if len(shape) == 4 or shape[0] == 5 else 1)
