"""The side that an encoder sees and the side that is drawn: vectors of files at their own size, images at `size`."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_modules import recipe
from torch import Tensor, nn

import featinv as fi
from featinv.audit.checklist import check_resolution
from featinv.audit.live_source import LiveSource
from featinv.command_line import parse
from featinv.data import image_stream
from featinv.victim import features_must_match

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what timm warns of while it is imported
    import timm

SIZE, COUNT = 32, 9
SIDES = [(200, 260), (300, 170), (180, 180)]


def photograph(row: int) -> Image.Image:
    height, width = SIDES[row % len(SIDES)]
    coarse = np.random.default_rng(row).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for row in range(COUNT):
        photograph(row).save(folder / f"{row}.png")
    return folder


@pytest.fixture(scope="module")
def encoder() -> fi.encoders.Encoder:
    return fi.encoders.timm("test_resnet", weights=None, seed=2)


def means(resize_crop: fi.ResizeCrop | int) -> fi.encoders.Encoder:
    """The mean colours of sixteen squares of what is fed."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return fi.encoders.wrap(network, name="means", family="averages", input_size=resize_crop)


CROPPING = fi.ResizeCrop(48, 64, "crop", "bicubic")


# ----------------------------------------------------------------------------------------------------- vectors


def test_vectors_of_a_folder_are_the_librarys_own(photographs: Path, encoder: fi.encoders.Encoder) -> None:
    theirs = timm.create_model("test_resnet", num_classes=0).eval()
    theirs.load_state_dict(encoder.network.state_dict())
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs))
    with torch.no_grad():
        expected = torch.cat([theirs(transform(photograph(row))[None]) for row in range(COUNT)]).numpy()
    images = fi.data.folder(photographs, size=SIZE, encoder=encoder)
    assert (images.size, images.encoder_side) == (SIZE, 160)
    got = fi.extract(fi.Victim(encoder), images).features(range(COUNT))
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    # Of images that were shrunk first they are others.
    shrunk = fi.extract(fi.Victim(encoder), fi.data.folder(photographs, size=SIZE)).features(range(COUNT))
    assert np.abs(shrunk - expected).max() > 0.01 * np.abs(expected).max()


def test_each_file_is_decoded_once_and_drawn_as_without_an_encoder(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = image_stream.decode_image, []
    monkeypatch.setattr(image_stream, "decode_image", lambda *a, **k: (calls.append(a), real(*a, **k))[1])
    images = fi.data.folder(photographs, size=SIZE, encoder=means(CROPPING))
    assert len(calls) == COUNT
    assert np.array_equal(images.uint8(range(COUNT)), fi.data.folder(photographs, size=SIZE).uint8(range(COUNT)))


def test_subsets_and_mirrored_images_keep_their_vectors(photographs: Path) -> None:
    victim = fi.Victim(means(CROPPING))
    images = fi.data.folder(photographs, size=SIZE, encoder=victim.encoder)
    pairs = fi.extract(victim, images, flips=True)
    rows = [7, 0, 3]
    subset = fi.extract(victim, images.take(rows)).features(range(3))
    np.testing.assert_array_equal(subset, pairs.features(rows))
    live, flip = fi.live(victim, images), np.array([True, False, True])
    for mine, theirs in zip(live.batch(rows, flip), pairs.batch(rows, flip), strict=True):
        torch.testing.assert_close(mine, theirs)
    # Mirrored: the four columns of squares in the opposite order.
    squares = pairs.features(range(COUNT)).reshape(COUNT, 3, 4, 4)
    mirrored = pairs.batch(range(COUNT), np.ones(COUNT, dtype=bool))[0].reshape(COUNT, 3, 4, 4).numpy()
    np.testing.assert_allclose(mirrored, squares[..., ::-1], atol=1e-6)


@pytest.mark.parametrize("on_disk_above", [0, 2**30])
def test_an_encoder_that_only_stretches_sees_the_square_that_is_drawn(photographs: Path, on_disk_above: int) -> None:
    encoder = means(100)
    images = fi.data.folder(photographs, size=SIZE, encoder=encoder, on_disk_above=on_disk_above)
    for row in range(COUNT):
        whole = photograph(row)
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        square = whole.crop((left, top, left + side, top + side)).resize((100, 100), Image.Resampling.BILINEAR)
        difference = images.encoder_batch([row])[0].permute(1, 2, 0).numpy() * 255 - np.asarray(square)
        assert np.abs(difference).max() <= 6  # cropped after it was resized: half a pixel to one side
    nothing_lost = fi.data.folder(photographs, size=64, encoder=means(64))
    assert nothing_lost.encoder_pixels is None


def test_arrays_larger_than_what_is_drawn_are_kept_for_the_encoder(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    encoder = means(CROPPING)
    images = fi.data.open_images(tmp_path / "x.npy", size=SIZE, encoder=encoder)
    whole = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(fi.extract(fi.Victim(encoder), images).features(range(5)), encoder(whole), atol=1e-6)
    shrunk = np.asarray(Image.fromarray(pixels[2]).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    assert np.array_equal(images.uint8([2])[0], shrunk)
    with pytest.raises(fi.BadInput, match="expected images of 32 px, got 64 px"):
        fi.data.open_images(tmp_path / "x.npy", size=SIZE)


# ------------------------------------------------------------------------------------------- caches and identities


def test_a_cache_holds_both_and_is_of_one_encoder(photographs: Path, tmp_path: Path, monkeypatch: Any) -> None:
    first = fi.data.folder(photographs, size=SIZE, cache=tmp_path, encoder=means(CROPPING))
    other = fi.data.folder(photographs, size=SIZE, cache=tmp_path, encoder=means(fi.ResizeCrop(40, 64, "crop")))
    plain = fi.data.folder(photographs, size=SIZE, cache=tmp_path)
    assert len({images.fingerprint for images in (first, other, plain)}) == 3
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(image_stream, "decode_image", None)
    again = fi.data.folder(photographs, size=SIZE, cache=tmp_path, encoder=means(CROPPING))
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.encoder_batch([4]), first.encoder_batch([4]))


def test_a_store_is_not_opened_with_shrunk_images(photographs: Path, tmp_path: Path) -> None:
    victim = fi.Victim(means(CROPPING))
    images = fi.data.folder(photographs, size=SIZE, encoder=victim.encoder)
    fi.extract(victim, images, to=tmp_path / "store")
    assert len(fi.open_store(tmp_path / "store", images)) == COUNT
    with pytest.raises(fi.BadInput, match="holds features of other images"):
        fi.open_store(tmp_path / "store", fi.data.folder(photographs, size=SIZE))


def test_images_that_were_read_for_another_encoder_are_refused(photographs: Path) -> None:
    images = fi.data.folder(photographs, size=SIZE, encoder=means(CROPPING))
    with pytest.raises(fi.BadInput, match=r"were read for an encoder that sees .*read them again with encoder="):
        fi.extract(fi.Victim(means(fi.ResizeCrop(48, 64, "stretch"))), images)


# ------------------------------------------------------------------------------------------------- failing closed


def test_vectors_of_shrunk_images_do_not_go_with_those_of_whole_ones(photographs: Path) -> None:
    victim = fi.Victim(means(CROPPING))
    whole = fi.data.folder(photographs, size=SIZE, encoder=victim.encoder)
    shrunk = fi.data.folder(photographs, size=SIZE)
    pairs, release = fi.extract(victim, shrunk), fi.release(victim, whole)
    with pytest.raises(fi.BadInput, match="saw at the same side, got 32 and the encoder's own px"):
        features_must_match(pairs.metadata, release.metadata)
    features_must_match(fi.extract(victim, whole).metadata, release.metadata)
    features_must_match(pairs.metadata, fi.release(victim, shrunk).metadata)
    # Vectors from elsewhere say nothing.
    features_must_match({**pairs.metadata, "encoder_fingerprint": None}, release.metadata)


def test_a_gate_asks_that_the_encoder_saw_what_it_takes(photographs: Path, tmp_path: Path) -> None:
    victim = fi.Victim(means(CROPPING))
    whole = fi.data.folder(photographs, size=SIZE, encoder=victim.encoder)
    shrunk = fi.data.folder(photographs, size=SIZE)
    source = LiveSource(victim, SIZE, ())
    assert check_resolution(source, {"public": whole, "private": whole}).passed
    check = check_resolution(source, {"public": whole, "private": shrunk})
    assert not check.passed
    assert "takes 64 px, but the private images are 32 px" in check.text
    assert "--smaller upscale" in check.text
    assert check_resolution(LiveSource(victim, SIZE, (), enlarges=True), {"private": shrunk}).passed
    assert check_resolution(LiveSource(fi.Victim(means(SIZE)), SIZE, ()), {"private": shrunk}).passed


# --------------------------------------------------------------------------------------------------------- losses


def test_losses_enlarge_what_is_drawn_differentiably(encoder: fi.encoders.Encoder) -> None:
    loss = fi.losses.Perceptual(encoder)
    drawn = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5)).requires_grad_(True)
    loss(drawn, torch.rand(2, 3, SIZE, SIZE)).sum().backward()
    assert isinstance(drawn.grad, Tensor)
    # The outermost pixels lie outside the crop of 160 of 168 px, but within reach of the filter that enlarges.
    assert bool((drawn.grad.abs().sum((0, 1)) > 0)[2:-2, 2:-2].all())


def test_surrogates_and_comparisons_of_one_configuration_see_the_same_vectors(
    photographs: Path, encoder: fi.encoders.Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look at photographs at the encoder's own size, and a second surrogate finds the vectors of the first."""
    monkeypatch.setattr("featinv.assembly.build_victim", lambda *_: fi.Victim(encoder))
    program, distilled = recipe("train_surrogate"), []
    monkeypatch.setattr(program, "distil", lambda pairs, config: distilled.append(pairs) or ("surrogate", [{}]))
    monkeypatch.setattr("featinv.encoders.save_encoder", lambda encoder, out: None)
    sizes = ["--images.size", "16", "--images.private", "1", "--images.smaller", "upscale"]
    flags = ["--data", str(photographs), *sizes, "--store", str(tmp_path / "store"), "--out"]
    for name in ("first", "second"):
        program.main(parse(program.Config, arguments=[*flags, str(tmp_path / f"{name}.safetensors")]))
    settings = fi.assembly.ImageSettings(str(photographs), size=16, private=1, smaller="upscale")
    public, _, _ = fi.assembly.load_images(settings, encoder=encoder)
    compared = fi.extract(fi.Victim(encoder), public)
    rows = np.arange(len(public))
    for pairs in distilled:
        assert pairs.images.ids == public.ids
        np.testing.assert_array_equal(pairs.features(rows), compared.features(rows))
    assert (tmp_path / "store" / "manifest.json").is_file()
