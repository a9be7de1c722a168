"""The report as a browser shows it: Debian's Chromium, without a window, on a telephone and on a screen."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_parts import finished

import featinv as fi

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
MEASURE = """<!DOCTYPE html><meta charset="utf-8"><body>
<pre id="found"></pre>
<script>
function measure(frame) {{
  const inside = frame.contentDocument, root = inside.documentElement;
  const images = [...inside.images];
  const within = element => element.closest(".scroll, .drawing");
  const wide = [...inside.body.querySelectorAll("*")].filter(
    element => !within(element) && element.getBoundingClientRect().right > root.clientWidth + 1);
  document.getElementById("found").textContent = JSON.stringify({{
    client: root.clientWidth, scroll: root.scrollWidth,
    wide: wide.map(element => element.tagName + " " + element.textContent.slice(0, 40)),
    images: images.length, drawn: images.filter(image => image.naturalWidth > 0).length,
    nameless: images.filter(image => !image.alt.trim()).length,
    small: images.filter(image => image.clientWidth < 250).length,
  }});
}}
</script>
<iframe onload="measure(this)" style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe>"""
"""The page in a frame of this width. The browser waits for the frame, and so for `measure`, before it dumps all."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here to look at the report with (Debian: apt install chromium)")
    folder = tmp_path_factory.mktemp("browser")
    finished(folder)
    return fi.report.write(folder)


def browse(page: Path, profile: Path) -> "subprocess.CompletedProcess[str]":
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    flags += [f"--user-data-dir={profile}", "--window-size=1600,1000"]
    flags += ["--enable-logging=stderr", "--log-level=0", "--dump-dom", page.as_uri()]
    environment = {**os.environ, "HOME": str(profile)}
    return subprocess.run(
        [str(CHROMIUM), *flags], capture_output=True, text=True, timeout=600, env=environment, check=False
    )


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_overflows_and_the_console_is_silent(report: Path, tmp_path: Path, width: int) -> None:
    page = tmp_path / "measure.html"
    page.write_text(MEASURE.format(width=width, page=html.escape(report.read_text(encoding="utf-8"))))
    done = browse(page, tmp_path)
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    seen = json.loads(html.unescape(found.group(1)))
    assert seen["client"] == width
    assert seen["scroll"] <= width, seen
    assert not seen["wide"]
    assert seen["images"] == seen["drawn"] >= 8
    assert seen["nameless"] == seen["small"] == 0
    assert not re.findall(r"CONSOLE.*", done.stderr)


def test_the_browser_would_have_said_it(tmp_path: Path) -> None:
    """A page that is too wide and complains is seen to be both: the checks above can fail."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here (Debian: apt install chromium)")
    bad = (
        '<div style="width:2000px">x</div><img src="data:image/png;base64,xx"><script>console.error("broken")</script>'
    )
    page = tmp_path / "measure.html"
    page.write_text(MEASURE.format(width=375, page=html.escape(bad)))
    done = browse(page, tmp_path)
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    seen = json.loads(html.unescape(found.group(1)))
    assert seen["scroll"] > 375
    assert seen["wide"]
    assert seen["nameless"] == 1
    assert seen["drawn"] == 0
    assert re.findall(r"CONSOLE.*broken", done.stderr)
