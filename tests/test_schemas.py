"""The JSON schemas of the site accept every file that featinv writes, and refuse broken ones."""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import featinv as fi
from featinv.audit.record import Record
from featinv.audit.suite import plan_suite
from featinv.audit.suite_entry import Situation

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

from _site import schema_pages  # noqa: E402  # the folder is on the path from here on

SCHEMAS = schema_pages.schemas()
COMMITTED = sorted((DOCS / "results").rglob("*scoreboard.json"))


class ToyJudge:
    """4 x 4 means; the brightest channel is the label."""

    name, family, trained_on, fingerprint = "toy", "pooling", "nothing", "toy"

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1), images.mean((2, 3))


def check(document: Any, name: str) -> None:
    jsonschema.validate(document, SCHEMAS[name], cls=jsonschema.Draft202012Validator)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A scoreboard as it is saved, with checks as an audit adds them."""
    public, private = fi.data.scenes(60, size=32, seed=0).split(0.7, seed=0)
    encoder = fi.encoders.wrap(torch.nn.AvgPool2d(16), name="m", family="a", trained_on="nothing", input_size=32)
    victim = fi.Victim(encoder)
    pairs, release = fi.extract(victim, public), fi.release(victim, private, seed=0)
    attacks = {"mean image": fi.attacks.MeanImage().fit(pairs), "ridge": fi.attacks.Ridge(1.0).fit(pairs)}
    board = fi.compare(attacks, release, [ToyJudge()], resamples=100, public=public, progress=False)
    board.protocol["checks"] = [fi.evaluation.positive_controls.Check("vectors", True, "they vary").as_json()]
    folder = tmp_path_factory.mktemp("board")
    board.save(folder)
    return json.loads((folder / "scoreboard.json").read_text())


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    json.dumps(SCHEMAS[name], allow_nan=False)


def test_a_written_scoreboard_is_accepted(written: dict[str, Any]) -> None:
    check(written, "scoreboard.schema")


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.stem)
def test_every_committed_scoreboard_is_accepted(file: Path) -> None:
    check(json.loads(file.read_text()), "scoreboard.schema")


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another schema": lambda board: board.update(schema=1),
    "no rows": lambda board: board.pop("attacks"),
    "no kind": lambda board: board["attacks"][0].pop("kind"),
    "an unknown kind": lambda board: board["attacks"][0].update(kind="baseline"),
    "a number as text": lambda board: board["attacks"][0]["metrics"]["psnr"].update(mean="12 dB"),
    "no bound": lambda board: board["attacks"][0]["metrics"]["psnr"].pop("low"),
    "an unknown level": lambda board: board["leak_level"].update(level="L5"),
    "no fingerprint": lambda board: board["protocol"]["private"].pop("fingerprint"),
    "a check without an answer": lambda board: board["protocol"]["checks"][0].pop("passed"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_scoreboard_is_refused(written: dict[str, Any], fault: str) -> None:
    broken = copy.deepcopy(written)
    BROKEN[fault](broken)
    with pytest.raises(jsonschema.ValidationError):
        check(broken, "scoreboard.schema")


def test_new_keys_are_allowed(written: dict[str, Any]) -> None:
    check({**written, "later": 1}, "scoreboard.schema")


def test_the_record_of_an_audit_is_accepted(tmp_path: Path) -> None:
    """As `featinv audit` writes it before training, and with what it notes afterwards."""
    situation = Situation(public=200, feature_shape=(8,), image_size=32, labelled=True, white_box=False)
    record = Record(tmp_path)
    record.begin({"the victim": "tiny", "seed": 0}, plan_suite(10, situation), None)
    record.seconds["ridge"], record.images["listik"], record.failed["pixels"] = 0.5, 64, "diverged"
    record.note_files(public=[("a.png", "truncated")], private=[])
    document = json.loads(record.file.read_text())
    check(document, "audit.schema")
    del document["plan"]["closed"]
    with pytest.raises(jsonschema.ValidationError):
        check(document, "audit.schema")


def test_the_schemas_are_files_of_the_site(tmp_path: Path) -> None:
    schema_pages.write(tmp_path / "pages", tmp_path / "files")
    for name, schema in SCHEMAS.items():
        assert json.loads((tmp_path / "files" / f"{name}.json").read_text()) == schema
    assert 'html_extra_path = ["generated/json"]' in (DOCS / "conf.py").read_text()
