"""ONNX graphs as encoders: held against the same arithmetic in torch, and against onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from onnx_parts import SIDE, WEIGHT, graph, pooled

import featinv as fi
from featinv.files import write_json

IMAGES = torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def stated(images: torch.Tensor) -> torch.Tensor:
    return (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------------------------- what it computes


def test_a_converted_graph_gives_its_first_output_with_a_gradient(tmp_path: Path) -> None:
    encoder = fi.encoders.onnx(graph(tmp_path / "a.onnx"), mean=MEAN, std=STD)
    assert isinstance(encoder, fi.encoders.Encoder)
    close(encoder(IMAGES), (pooled(stated(IMAGES)) @ torch.from_numpy(WEIGHT)).softmax(1))
    assert encoder.differentiable
    assert not encoder.assumed
    assert encoder.name == "onnx/a.onnx"


def test_it_ends_at_any_tensor_and_leaves_out_what_comes_after(tmp_path: Path) -> None:
    """Hardmax, which onnx2torch lacks, stands behind the pool: a cut before it converts."""
    encoder = fi.encoders.onnx(graph(tmp_path / "a.onnx", last="Hardmax"), output="pool", mean=MEAN, std=STD)
    assert encoder.feature_shape == (6,)
    assert encoder.gradient_stop == ""
    close(encoder(IMAGES), pooled(stated(IMAGES)))
    maps = fi.encoders.onnx(tmp_path / "a.onnx", output="active", mean=MEAN, std=STD)
    assert maps.feature_shape == (6, 7, 7)


def test_channels_last_bgr_and_a_scale_of_255(tmp_path: Path) -> None:
    file = graph(tmp_path / "a.onnx", channels_last=True)
    encoder = fi.encoders.onnx(file, output="pool", mean=(123, 117, 104), std=(58, 57, 56), scale=255, bgr=True)
    fed = (IMAGES * 255 - torch.tensor([123.0, 117, 104])[:, None, None]) / torch.tensor([58.0, 57, 56])[:, None, None]
    close(encoder(IMAGES), pooled(fed.flip(1)))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("built_in", [True, False])
def test_a_fixed_batch_takes_any_number_of_images(tmp_path: Path, batch: int, built_in: bool, gradients: bool) -> None:
    file = graph(tmp_path / "a.onnx", batch=batch, built_in_batch=built_in)
    encoder = fi.encoders.onnx(file, output="pool", mean=MEAN, std=STD, gradients=gradients)
    images = IMAGES if gradients else (IMAGES * 255).round() / 255
    close(encoder(images), pooled(stated(images)))
    close(encoder(images[:1]), pooled(stated(images[:1])))


@pytest.mark.parametrize("gradients", [True, False])
def test_maps_of_a_graph_are_read_out(tmp_path: Path, gradients: bool) -> None:
    file = graph(tmp_path / "a.onnx")
    settings = {"output": "active", "mean": MEAN, "std": STD, "gradients": gradients}
    maps = fi.encoders.onnx(file, **settings, readout="grid")
    means = fi.encoders.onnx(file, **settings, readout="mean")
    pixels = (IMAGES * 255).round() / 255
    assert maps.feature_shape == (6, 7, 7)
    close(means(pixels), pooled(stated(pixels)))
    close(maps(pixels).mean((2, 3)), pooled(stated(pixels)))
    assert maps.fingerprint != means.fingerprint


# ------------------------------------------------------------------------------------------------------- black boxes


def test_a_graph_that_does_not_convert_is_a_black_box_that_names_the_operator(tmp_path: Path) -> None:
    file = graph(tmp_path / "a.onnx", last="Hardmax")
    encoder = fi.encoders.onnx(file, mean=MEAN, std=STD)
    assert isinstance(encoder, fi.encoders.BlackBox)
    assert "Hardmax" in encoder.gradient_stop
    pixels = (IMAGES * 255).round() / 255
    best = (pooled(stated(pixels)) @ torch.from_numpy(WEIGHT)).argmax(1)
    assert torch.equal(encoder(IMAGES), torch.nn.functional.one_hot(best, 5).float())
    with pytest.raises(fi.BadInput, match=r"no gradient.*Hardmax"):
        fi.losses.Perceptual(encoder)


def test_without_onnx2torch_the_black_box_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx2torch", None)
    encoder = fi.encoders.onnx(graph(tmp_path / "a.onnx"), output="pool", mean=MEAN, std=STD)
    assert isinstance(encoder, fi.encoders.BlackBox)
    assert "pip install 'featinv[onnx]'" in encoder.gradient_stop


def test_where_neither_runtime_has_it_operator_and_pip_line_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = graph(tmp_path / "a.onnx", last="Hardmax")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(fi.BadInput) as caught:
        fi.encoders.onnx(file, mean=MEAN, std=STD)
    said = str(caught.value)
    assert "needs onnxruntime, which is not installed; pip install 'featinv[onnx]'" in said
    assert "Hardmax" in said
    assert "\n" not in said


def test_bytes_go_in_as_they_are(tmp_path: Path) -> None:
    encoder = fi.encoders.onnx(graph(tmp_path / "a.onnx", element=TensorProto.UINT8, channels_last=True), output="pool")
    assert isinstance(encoder, fi.encoders.BlackBox)
    assert not encoder.assumed
    close(encoder(IMAGES), pooled((IMAGES * 255).round() / 255))
    with pytest.raises(fi.BadInput, match="normalises them itself"):
        fi.encoders.onnx(tmp_path / "a.onnx", mean=MEAN)


def test_both_runtimes_agree_and_have_fingerprints_of_the_setting(tmp_path: Path) -> None:
    file = graph(tmp_path / "a.onnx")
    one = fi.encoders.onnx(file, mean=MEAN, std=STD, gradients=False)
    other = fi.encoders.onnx(file, mean=MEAN, std=STD)
    pixels = (IMAGES * 255).round() / 255
    close(one(pixels), other(pixels))
    session = onnxruntime.InferenceSession(str(file))
    answer = session.run(None, {"image": stated(pixels).numpy().astype(np.float32)})[0]
    close(one(pixels), torch.from_numpy(answer))
    assert one.fingerprint == other.fingerprint
    settings = ({}, {"bgr": True}, {"scale": 2}, {"resize": 20}, {"output": "pool"}, {"output": "active"})
    prints = {fi.encoders.onnx(file, mean=MEAN, std=STD, **setting).fingerprint for setting in settings}
    assert len(prints) == len(settings)


# ----------------------------------------------------------------------------------------------------- preprocessing


def test_what_nobody_states_is_assumed_and_said(tmp_path: Path) -> None:
    encoder = fi.encoders.onnx(graph(tmp_path / "a.onnx"), output="pool")
    close(encoder(IMAGES), pooled(IMAGES))
    assert "mean=" in encoder.assumed
    assert not fi.encoders.onnx(tmp_path / "a.onnx", output="pool", mean=(0, 0, 0), std=(1, 1, 1)).assumed


@pytest.mark.parametrize("folder", ["", "onnx"])
def test_the_processor_beside_the_file_or_above_it_is_read(tmp_path: Path, folder: str) -> None:
    config = {
        "size": {"shortest_edge": SIDE + 4},
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_center_crop": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": MEAN,
        "image_std": STD,
    }
    write_json(tmp_path / "preprocessor_config.json", config)
    (tmp_path / folder).mkdir(exist_ok=True)
    encoder = fi.encoders.onnx(graph(tmp_path / folder / "a.onnx"), output="pool")
    assert str(encoder.resize_crop) == f"the short side resized to {SIDE + 4} px (bicubic), then the central {SIDE} px"
    assert not encoder.assumed
    large = torch.rand(2, 3, SIDE + 4, SIDE + 4)
    close(encoder(large), pooled(stated(large[..., 2:-2, 2:-2])))


# --------------------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    file = graph(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"\xff" * 300)
    for call, words in {
        lambda: fi.encoders.onnx(tmp_path / "no.onnx"): "nothing there",
        lambda: fi.encoders.onnx(tmp_path / "b.onnx"): "expected an ONNX graph",
        lambda: fi.encoders.onnx(file, output="pol"): "did you mean pool",
        lambda: fi.encoders.onnx(file, input_size=32): f"expected the {SIDE} px that the graph takes, got 32",
        lambda: fi.encoders.onnx(graph(tmp_path / "c.onnx", side="side")): "say input_size=",
        lambda: fi.encoders.onnx(file, mean=(0, 0, 0), std=(0, 1, 1)): "std above 0",
    }.items():
        with pytest.raises(fi.BadInput) as caught:
            call()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
