"""Every kind of image file becomes the RGB that Pillow itself makes of it, and no broken file gets further."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from featinv.data.image_decode import TooSmall, Unusable, decode_image, to_rgb

SIDE = 16


def decode(path: Path, size: int = SIDE, **options: object) -> np.ndarray:
    settings_ = {"fit": "crop", "upscale": False, "limit_pixels": 10**6, **options}
    return decode_image(path, size=size, **settings_).pixels  # type: ignore[arg-type]


def colours(mode: str = "RGB", seed: int = 0, side: int = SIDE) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    levels = np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)
    return Image.frombytes(mode, (side, side), levels.tobytes())


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "x.png"),
        ("RGB", "x.bmp"),
        ("RGB", "x.tiff"),
        ("RGB", "x.ppm"),
        ("L", "x.png"),
        ("L", "x.pgm"),
        ("1", "x.png"),
        ("CMYK", "x.tif"),
        ("CMYK", "x.jpg"),
        ("L", "x.jpg"),
        ("YCbCr", "x.tif"),
        ("LAB", "x.tif"),
    ],
)
def test_modes_without_transparency_are_pillows_own_rgb(tmp_path: Path, mode: str, name: str) -> None:
    source = colours("L").convert("1") if mode == "1" else colours(mode)
    source.save(tmp_path / name)
    expected = np.asarray(Image.open(tmp_path / name).convert("RGB"))
    np.testing.assert_array_equal(decode(tmp_path / name), expected)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    source = colours().quantize(16)
    source.save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.png"), np.asarray(source.convert("RGB")))


@pytest.mark.parametrize(("mode", "name"), [("RGBA", "x.png"), ("LA", "x.png"), ("RGBA", "x.webp")])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str, name: str) -> None:
    source = colours(mode)
    source.save(tmp_path / name, lossless=True)
    layer = np.asarray(Image.open(tmp_path / name).convert("RGBA")).astype(float)
    alpha = layer[..., 3:] / 255
    by_hand = layer[..., :3] * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(decode(tmp_path / name), by_hand, atol=1)


def test_a_transparent_colour_of_a_palette_or_of_rgb_is_white(tmp_path: Path) -> None:
    flat = Image.new("P", (SIDE, SIDE), 3)
    flat.putpalette([value for row in range(256) for value in (row, 0, 0)])
    flat.save(tmp_path / "palette.png", transparency=3)
    assert decode(tmp_path / "palette.png").min() == 255
    Image.new("RGB", (SIDE, SIDE), (9, 8, 7)).save(tmp_path / "keyed.png", transparency=(9, 8, 7))
    assert decode(tmp_path / "keyed.png").min() == 255


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path, name: str) -> None:
    levels = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE)).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / name)
    expected = np.repeat((levels >> 8).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(tmp_path / name), expected)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_of_unknown_range_are_not_guessed(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (SIDE, SIDE), 7).save(tmp_path / "x.tif")
    with pytest.raises(Unusable, match="unknown range"):
        decode(tmp_path / "x.tif")


@pytest.mark.parametrize("name", ["x.gif", "x.png", "x.webp", "x.tiff"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "blue", "lime")]
    extra = {} if name == "x.tiff" else {"lossless": True} if name == "x.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **extra)
    with Image.open(tmp_path / name) as read:
        assert read.n_frames == 3  # type: ignore[attr-defined]
    expected = np.broadcast_to(np.array([255, 0, 0]), (SIDE, SIDE, 3))
    np.testing.assert_array_equal(decode(tmp_path / name), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_as_exif_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 256, (SIDE, 24, 3), dtype=np.uint8))
    wide.save(tmp_path / "x.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "x.png"))
    expected = ImageOps.fit(upright, (SIDE, SIDE), centering=(0.5, 0.5))
    np.testing.assert_array_equal(decode(tmp_path / "x.png"), np.asarray(expected))


@pytest.mark.filterwarnings("ignore")
def test_broken_or_senseless_exif_is_no_reason_to_lose_a_image(tmp_path: Path) -> None:
    source = colours()
    for place, raw in enumerate([b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"nonsense"]):
        source.save(tmp_path / f"{place}.png", exif=raw)
        np.testing.assert_array_equal(decode(tmp_path / f"{place}.png"), np.asarray(source))
    exif = Image.Exif()
    exif[0x0112] = 99
    source.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "x.png"), np.asarray(source))


def test_a_name_may_lie_about_the_format(tmp_path: Path) -> None:
    colours().save(tmp_path / "x.bmp")
    (tmp_path / "x.bmp").rename(tmp_path / "x.jpg")
    np.testing.assert_array_equal(decode(tmp_path / "x.jpg"), np.asarray(colours()))


def test_other_formats_are_not_tried(tmp_path: Path) -> None:
    """PostScript would be run, not read."""
    colours().save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(Unusable, match="drawing"):
        decode(tmp_path / "x.png")


def test_too_small_says_what_there_is(tmp_path: Path) -> None:
    Image.new("RGB", (30, 12)).save(tmp_path / "x.png")
    with pytest.raises(TooSmall, match="30 x 12 px"):
        decode(tmp_path / "x.png", size=16)
    assert decode(tmp_path / "x.png", size=16, upscale=True).shape == (16, 16, 3)


def _files() -> dict[str, bytes]:
    import io

    made = {}
    for form, mode in (("PNG", "RGB"), ("JPEG", "RGB"), ("GIF", "P"), ("TIFF", "RGB"), ("BMP", "RGB"), ("WEBP", "RGB")):
        buffer = io.BytesIO()
        image = colours().quantize(8) if mode == "P" else colours()
        image.save(buffer, form)
        made[form] = buffer.getvalue()
    return made


FILES = _files()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(data=st.data(), form=st.sampled_from(sorted(FILES)))
def test_damaged_files_give_a_image_or_a_reason_and_nothing_else(
    data: st.DataObject, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = bytearray(FILES[form])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    path = tmp_path_factory.getbasetemp() / f"damaged.{form.lower()}"
    path.write_bytes(bytes(raw))
    try:
        image = decode(path)
    except (Unusable, TooSmall):
        return
    assert image.shape == (SIDE, SIDE, 3)


def test_modes_that_pillow_adds_are_left_to_pillow() -> None:
    hsv = colours("HSV")
    np.testing.assert_array_equal(np.asarray(to_rgb(hsv)), np.asarray(hsv.convert("RGB")))
