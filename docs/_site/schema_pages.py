"""JSON Schema files of scoreboard.json and audit.json, made from the dataclasses of the code, and their page.

What the code writes as a dataclass (rows, intervals, the level, checks) is read from there by pydantic; what it writes
as a dictionary is declared here. Both grow by new keys, so that keys that are not named here are allowed.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from _site.pages import heading, write_pages
from featinv.evaluation import AttackScore
from featinv.evaluation.attack_score import KINDS
from featinv.evaluation.leak_level import LEVELS, NOT_MEASURED, NOT_SHOWN, LeakLevel
from featinv.evaluation.positive_controls import Check

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OPTIONAL = {
    "Interval": ("chance",),
    "Protocol": ("checks", "classes", "clusters", "not_measured", "over_budget"),
    "ScoreboardDocument": ("leak_level",),
    "AuditDocument": ("not_read",),
}
"""keys that a file may lack: some were added after the first files of the schema were written"""


class ImageSetMetadata(BaseModel):
    """How many images of which side in pixels, and the SHA-256 of their pixels and names."""

    count: int
    size: int
    fingerprint: str


class JudgeMetadata(BaseModel):
    """A judge; `sibling` says whether it is of the family of the encoder, and therefore not independent."""

    name: str
    family: str
    trained_on: str
    fingerprint: str
    sibling: bool


class Overlap(BaseModel):
    """Private images that are public too, pixel by pixel or nearly."""

    exact: int
    near: int


class Protocol(BaseModel):
    """Under which sizes, seeds and judges the numbers hold; `checks` are the positive controls of an audit."""

    seed: int
    release_seed: int | None
    private: ImageSetMetadata
    public: ImageSetMetadata | None
    overlap: Overlap | None
    gallery: int
    galleries: list[int]
    chance: dict[str, float]
    judges: list[JudgeMetadata]
    treated_originals: dict[str, Any]
    resamples: int
    level: float
    intervals: dict[str, str]
    versions: dict[str, str]
    checks: list[Check]
    classes: dict[str, Any]
    clusters: int | None
    not_measured: dict[str, str]
    over_budget: dict[str, str]


class ScoreboardDocument(BaseModel):
    """scoreboard.json: the victim, the protocol, one row an attack or control, and the verdict."""

    schema_: Literal[2]
    victim: dict[str, Any]
    protocol: Protocol
    attacks: list[AttackScore]
    leak_level: LeakLevel | None


class SuiteDocument(BaseModel):
    """What an audit tries: attacks in closed form, the planned minutes of the others, and why some are left out."""

    closed: list[str]
    minutes: dict[str, float]
    left_out: dict[str, str]


class AuditDocument(BaseModel):
    """audit.json: inputs, plan, named attack; by attack: minutes and images planned, images seen, seconds, failures."""

    inputs: dict[str, Any]
    plan: SuiteDocument
    named: str | None
    minutes: dict[str, float]
    images: dict[str, int]
    seen: dict[str, int]
    seconds: dict[str, float]
    failed: dict[str, str]
    not_read: dict[str, list[tuple[str, str]]]


def schemas() -> dict[str, dict[str, Any]]:
    """Return {name of the file without suffix: its JSON Schema}."""
    board = _schema(ScoreboardDocument, "scoreboard.json")
    # `schema` is a method of pydantic's models.
    board["properties"]["schema"] = board["properties"].pop("schema_") | {"title": "Schema"}
    board["required"] = ["schema" if name == "schema_" else name for name in board["required"]]
    board["$defs"]["AttackScore"]["properties"]["kind"] = {"enum": list(KINDS)}
    board["$defs"]["LeakLevel"]["properties"]["level"] = {"enum": [NOT_MEASURED, NOT_SHOWN, *LEVELS]}
    return {"scoreboard.schema": board, "audit.schema": _schema(AuditDocument, "audit.json")}


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(mode="serialization")
    schema |= {"$schema": DRAFT, "title": title}
    for name, optional in _OPTIONAL.items():
        part = schema if name == model.__name__ else schema.get("$defs", {}).get(name)
        if part is not None:
            part["required"] = [key for key in part["required"] if key not in optional]
    return schema


def write(pages: Path, files: Path) -> None:
    """Write the schema files into `files`, which the site serves at its top, and the page that shows them."""
    files.mkdir(parents=True, exist_ok=True)
    parts = [
        heading("JSON schemas"),
        "Generated from the code, and tested against files that featinv writes. New keys may be added; a key that "
        "changes its meaning changes the number ``schema``. The verdict of a report is ``leak_level``, with the checks "
        "in ``protocol``.\n",
    ]
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=1, ensure_ascii=False)
        (files / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        parts += [
            heading(schema["title"], "-"),
            f"{schema['description']} (`{name}.json <../../{name}.json>`__)\n",
            ".. code-block:: json\n",
            *(f"   {line}" for line in text.splitlines()),
            "",
        ]
    write_pages(pages, {"index": "\n".join(parts)})
