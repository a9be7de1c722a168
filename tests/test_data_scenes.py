"""Scenes: the same (seed, index) is the same scene, whatever else is asked for; the facts are in the pixels."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featinv.data import scenes
from featinv.data.image_likeness import area_matrix
from featinv.data.scene.badge import _GLYPHS, glyph, paint_code
from featinv.data.scene.canvas import COLOURS, Canvas, coverage, oklch, spline_matrix
from featinv.data.scene.facts import ALPHABET, Code, draw_scene
from featinv.data.scene.images import VALUES, paint_scene, scene_factors
from featinv.data.scene.things import _SHAPES, REACH
from featinv.errors import BadInput

FIRST_FACTS = {
    "shape": [6, 5, 7, 5],
    "colour": [8, 1, 3, 2],
    "background": [4, 6, 0, 4],
    "badge_identity": [14, 8, 60, 20],
    "code": [303181, 139352, 87037, 127893],
}
FIRST_MEANS = [[113.62, 135.02, 148.8], [134.1, 157.01, 138.49], [172.53, 158.5, 149.63], [158.21, 126.05, 135.5]]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**40), index=st.integers(0, 2**40), size=st.integers(32, 80))
def test_a_scene_depends_on_seed_and_index_alone(seed: int, index: int, size: int) -> None:
    alone = scenes(1, size=size, seed=seed, start=index + 1)
    among = scenes(3, size=size, seed=seed, start=index)
    np.testing.assert_array_equal(alone.uint8([0]), among.uint8([1]))
    assert alone.ids == (among.ids[1],)
    assert {name: values[0] for name, values in alone.factors.items()} == {
        name: values[1] for name, values in among.factors.items()
    }


def test_another_process_paints_the_same() -> None:
    program = "import featinv as fi; print(fi.data.scenes(4, size=40, seed=7, start=2).fingerprint)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == scenes(4, size=40, seed=7, start=2).fingerprint


def test_the_facts_of_the_first_scenes_never_change() -> None:
    """Weights in the package were trained on these scenes: whoever changes them must raise VERSION and train again."""
    factors = scenes(4, size=64, seed=0).factors
    told = {name: factors[name].tolist() for name in ("shape", "colour", "background", "badge_identity", "code")}
    assert told == FIRST_FACTS
    means = scenes(4, size=32, seed=0).uint8(np.arange(4)).mean(axis=(1, 2))
    np.testing.assert_allclose(means, FIRST_MEANS, atol=0.3)


@pytest.mark.parametrize("size", [48, 63, 64, 128])
def test_a_scene_shows_the_same_at_every_size(size: int) -> None:
    """Reduced by area, a large image is the small one, but for the code that small ones lack."""
    for index in range(12):
        scene = draw_scene(3, index)
        large, small = paint_scene(scene, size), paint_scene(scene, 32)
        if size >= 64:
            mask = np.ones((64, 64), dtype=np.float32)
            mask[scene.code.row : scene.code.row + 11, scene.code.column : scene.code.column + 27] = 0
            shown = Image.fromarray((mask * 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
            free = np.asarray(shown) == 255
        else:
            free = np.ones((32, 32), dtype=bool)
        reduced = np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BOX), dtype=float)
        assert np.abs(reduced - small)[free].mean() < 7, "levels of 255; two scenes are 50 apart"


def test_no_two_scenes_are_equal() -> None:
    pixels = scenes(200, seed=1).uint8(np.arange(200)).reshape(200, -1)
    assert len(np.unique(pixels, axis=0)) == 200


def test_the_label_is_the_shape_and_every_value_has_a_name() -> None:
    images = scenes(400, seed=2)
    np.testing.assert_array_equal(images.labels, images.factors["shape"])
    assert images.classes == VALUES["shape"]
    for name, names in VALUES.items():
        if name in images.factors:
            values = images.factors[name]
            assert set(values.tolist()) == set(range(len(names))), f"{name} takes every value that has a name"
    assert set(images.factors["count"].tolist()) == {1, 2, 3, 4}
    assert set(images.factors["badge_identity"].tolist()) <= set(range(64))
    parts = (images.factors[f"badge_{part}"] for part in ("tone", "hair", "glasses", "smile"))
    tone, hair, glasses, smile = parts
    np.testing.assert_array_equal(images.factors["badge_identity"], ((tone * 4 + hair) * 2 + glasses) * 2 + smile)


def test_facts_are_drawn_independently() -> None:
    """No fact tells another, but for those that contain or exclude each other by construction."""
    facts = [scene_factors(draw_scene(4, index), 32) for index in range(2000)]
    factors = {name: np.array([fact[name] for fact in facts]) for name in facts[0]}
    tied = [{"count", "second_shape", "second_colour"}]
    tied += [{"badge_identity", part} for part in ("badge_tone", "badge_hair", "badge_glasses", "badge_smile")]
    tied += [{"badge_hair", "badge_hair_colour"}, {"badge_identity", "badge_hair_colour"}]
    names = sorted(factors)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            if any({first, second} <= group for group in tied):
                continue
            table = np.zeros((factors[first].max() + 1, factors[second].max() + 1))
            np.add.at(table, (factors[first], factors[second]), 1)
            table = table[table.sum(1) > 0][:, table.sum(0) > 0]
            expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
            chi2 = ((table - expected) ** 2 / expected).sum()
            freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
            assert chi2 < freedom + 6 * np.sqrt(2 * freedom), f"{first} and {second}"


def test_the_main_object_has_the_colour_and_place_that_its_factors_say() -> None:
    """Look at the pixels: at the middle of a full shape stands its colour, within lighting and shading."""
    checked = 0
    for index in range(80):
        scene = draw_scene(6, index)
        shape, colour = VALUES["shape"][scene.main.shape], VALUES["colour"][scene.main.colour]
        apart = max(abs(scene.main.x - scene.badge.x), abs(scene.main.y - scene.badge.y)) > 0.3
        if shape in ("circle", "square", "hexagon") and scene.main.finish == 0 and apart:
            pixel = paint_scene(scene, 48)[int(scene.main.y * 48), int(scene.main.x * 48)].astype(float)
            reference = np.array(COLOURS[colour]) * 255
            cosine = pixel @ reference / np.linalg.norm(pixel) / np.linalg.norm(reference)
            assert cosine > 0.97, f"scene {index}: {pixel} is not {colour}"
            checked += 1
            assert scene.cell == int((scene.main.y - 0.2) / 0.2) * 3 + int((scene.main.x - 0.2) / 0.2)
    assert checked >= 4


def test_the_code_is_printed_from_64_pixels_and_can_be_read() -> None:
    assert "code" not in scenes(1, size=63).factors
    assert "code" in scenes(1, size=64).factors
    for index in range(10):
        scene = draw_scene(8, index)
        image = paint_scene(scene, 128)[::2, ::2].astype(float).mean(axis=2)
        plate = image[scene.code.row : scene.code.row + 11, scene.code.column : scene.code.column + 27]
        ink = (plate > 128) if scene.code.dark else (plate < 128)
        read = []
        for place in range(4):
            dots = ink[2:9, 2 + 6 * place : 7 + 6 * place]
            errors = [np.sum(dots != glyph(character)) for character in ALPHABET]
            assert sorted(errors)[1] > 0, "one reading only"
            read.append(int(np.argmin(errors)))
        factors = scenes(1, size=64, seed=8, start=index).factors
        assert [int(factors[f"code_{place}"][0]) for place in (1, 2, 3, 4)] == read
        number = sum(value * len(ALPHABET) ** (3 - place) for place, value in enumerate(read))
        assert int(factors["code"][0]) == number


def test_every_character_of_the_code_is_another() -> None:
    assert set(_GLYPHS) == set(ALPHABET)
    assert len({glyph(character).tobytes() for character in ALPHABET}) == len(ALPHABET)
    canvas = Canvas(64)
    canvas.planes[:] = 0.5
    paint_code(canvas, Code(characters=(0, 1, 2, 3), column=5, row=7, dark=False))
    touched = np.argwhere(canvas.planes[0] != 0.5)
    assert touched.min(axis=0).tolist() == [7, 5]
    assert touched.max(axis=0).tolist() == [17, 31]


@pytest.mark.parametrize("place", range(len(_SHAPES)))
def test_a_shape_is_one_distance_field_within_reach(place: int) -> None:
    """Negative inside, never steeper than a distance, and positive wherever the painter does not look."""
    axis = np.linspace(-1.6, 1.6, 321, dtype=np.float32)
    distance = _SHAPES[place](axis[None, :], axis[:, None])
    step = axis[1] - axis[0]
    assert max(np.abs(np.diff(distance, axis=way)).max() for way in (0, 1)) < 1.001 * step
    inside = distance < 0
    area = inside.mean() * 3.2**2
    assert 1.0 < area < 3.3, "shapes are about equally large"
    squeezed = 1.16 * np.hypot(axis[None, :], axis[:, None])
    assert squeezed[inside].max() < REACH


def test_colours_are_those_of_oklab() -> None:
    """Against the published pairs of Ottosson's page: white, black, and pure red's coordinates."""
    assert oklch(1.0, 0.0, 0.0) == pytest.approx((1, 1, 1), abs=1e-3)
    assert oklch(0.0, 0.0, 0.0) == pytest.approx((0, 0, 0), abs=1e-6)
    assert oklch(0.627955, 0.257683, np.deg2rad(29.2339)) == pytest.approx((1, 0, 0), abs=2e-3)


@given(size=st.integers(1, 70), cells=st.integers(1, 70))
def test_area_resampling_keeps_what_is_constant_and_what_there_is(size: int, cells: int) -> None:
    matrix = area_matrix(size, cells)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix.sum(axis=0), size / cells, rtol=1e-4)


def test_area_resampling_is_pillows_box_filter() -> None:
    values = np.random.default_rng(0).random((1, 48)).astype(np.float32)
    expected = np.asarray(Image.fromarray(values).resize((16, 1), Image.Resampling.BOX))
    np.testing.assert_allclose(values @ area_matrix(16, 48).T, expected, atol=1e-6)


def test_noise_has_no_seams_and_edges_are_soft() -> None:
    np.testing.assert_allclose(spline_matrix(33, 9).sum(axis=1), 1, atol=1e-5)
    edge = coverage(np.array([-1.0, -0.25, 0.0, 0.25, 1.0], dtype=np.float32), 1.0)
    np.testing.assert_allclose(edge, [1, 0.75, 0.5, 0.25, 0])


def test_an_object_off_the_image_is_not_painted() -> None:
    canvas = Canvas(32)
    assert canvas.window(1.5, 0.5, 0.2) is None
    assert canvas.window(0.5, -0.5, 0.2) is None
    assert canvas.window(0.0, 0.0, 0.25) == (slice(0, 10), slice(0, 10))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 0}, "count: expected at least 1"),
        ({"count": 1, "size": 31}, r"size: expected 32\.\.256"),
        ({"count": 1, "size": 257}, r"size: expected 32\.\.256"),
        ({"count": 1, "seed": -1}, "seed"),
        ({"count": 1, "start": -1}, "start"),
    ],
)
def test_scenes_that_cannot_be_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        scenes(arguments.pop("count"), **arguments)
