"""The page of a sweep in a browser, on a telephone and on a screen: nothing overflows, and the slider works."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from defend_vectors import write_sides
from test_report_browser import CHROMIUM, MEASURE, browse

from featinv.defend import DefendSettings, run_defend
from featinv.defend import running as running_module
from featinv.defend.attacking import Shown

SLIDE = """<script>
range.value = 1; range.dispatchEvent(new Event("input"));
const pre = document.createElement("pre"); pre.id = "found";
pre.textContent = [...document.querySelectorAll(".slide")].map(slide => slide.offsetHeight > 0).join();
document.body.append(pre);
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here to look at the page with (Debian: apt install chromium)")
    root = tmp_path_factory.mktemp("page")
    images = np.random.default_rng(0).integers(0, 255, (10, 16, 16, 3), dtype=np.uint8)
    shown = [Shown(label, "ridge", images, images[::-1].copy()) for label in ("Identity", "Codebook:bits=2")]
    patch = pytest.MonkeyPatch()
    patch.setattr(running_module, "attacked", lambda sweep, *rest: (sweep, shown))
    folders = {"public": str(root), "private": str(root)}
    settings = DefendSettings(**write_sides(root), **folders, out=str(root / "out"), defences="Codebook:bits=2")
    run_defend(settings, attack=lambda *files, **rest: None)  # type: ignore[arg-type,return-value]
    patch.undo()
    return root / "out" / "report.html"


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_overflows_and_every_image_is_drawn(page: Path, tmp_path: Path, width: int) -> None:
    text = page.read_text(encoding="utf-8").replace('class="scroll"', 'class="scroll drawing"')
    measure = tmp_path / "measure.html"
    measure.write_text(MEASURE.format(width=width, page=html.escape(text)))
    done = browse(measure, tmp_path)
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    seen = json.loads(html.unescape(found.group(1)))
    assert seen["scroll"] <= width
    assert not seen["wide"]
    assert seen["images"] == seen["drawn"] == 5
    assert seen["nameless"] == 0


def test_the_slider_shows_one_setting_at_a_time(page: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.html"
    moved.write_text(page.read_text(encoding="utf-8").replace("</body>", SLIDE))
    done = browse(moved, tmp_path)
    assert '<pre id="found">false,true</pre>' in done.stdout, done.stderr[-2000:]
