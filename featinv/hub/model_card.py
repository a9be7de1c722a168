"""The model card of a shared attack (README.md of its repository): intended use, victim, and measured numbers."""

from pathlib import Path
from typing import Any

import yaml

from featinv import __version__
from featinv.errors import BadInput
from featinv.evaluation import Scoreboard
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.table import number
from featinv.extras import library
from featinv.report.writing import plain_markdown

NAME = "README.md"
LIMIT = 2**20
"""Bytes of a model card that we are willing to read."""
_KEY, _FINGERPRINT = "featinv", "victim_fingerprint"


def write_card(board: Scoreboard, row: str, document: dict[str, Any], *, intended_use: str, stored_images: int) -> str:
    """Return the model card as text: YAML with the victim's fingerprint, then Markdown for people.

    `document` is the content of `attack.json`. Names that come from files are escaped.
    """
    metadata = {
        "library_name": "featinv",
        "tags": ["featinv", "feature-inversion", "privacy", "red-teaming"],
        _KEY: {_FINGERPRINT: document["victim"]["fingerprint"], "version": __version__},
    }
    sections = [
        f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---",
        f"# {plain_markdown(row)}: an attack on image feature vectors",
        "This attack reconstructs images from the feature vectors of one victim. It was measured with featinv.",
        f"## Intended use\n\n{plain_markdown(intended_use)}",
        "Use it only on vectors and images that you may use. Do not use it to reconstruct images of people who did not "
        "agree.",
        f"## Victim\n\n{_victim(document)}",
        f"## Measured\n\n{_measured(board, row)}",
        f"## Content\n\n{_content(stored_images)}",
    ]
    return "\n\n".join(sections) + "\n"


def read_fingerprint(file: Path) -> str:
    """Return the victim's fingerprint that a model card states; BadInput for a card that states none."""
    hub = library("huggingface_hub", "fi.hub")
    fix = "ask its author to share the attack with fi.hub.push"
    try:
        metadata = hub.metadata_load(file)
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{file}: expected YAML between two lines of ---, got something else; {fix}") from error
    section = (metadata or {}).get(_KEY)
    fingerprint = section.get(_FINGERPRINT) if isinstance(section, dict) else None
    if not isinstance(fingerprint, str) or not fingerprint:
        raise BadInput(f"{file}: expected the fingerprint of the victim ({_KEY}: {_FINGERPRINT}), got none; {fix}")
    return fingerprint


def _victim(document: dict[str, Any]) -> str:
    names = ("name", "family", "trained_on", "defence", "fingerprint")
    lines = [f"- {name.replace('_', ' ')}: {plain_markdown(str(document['victim'].get(name)))}" for name in names]
    shape = " x ".join(str(length) for length in document["feature_shape"])
    return "\n".join([*lines, f"- features: {shape}; images: {document['image_size']} px"])


def _measured(board: Scoreboard, row: str) -> str:
    metrics = Catalogue.of(board.protocol).at("table")
    rows = [item for item in board.attacks if item.role == "control" or item.name == row]
    lines = [
        "| | " + " | ".join(plain_markdown(metric.column) for metric in metrics) + " |",
        "|---" * (len(metrics) + 1) + "|",
    ]
    for item in rows:
        cells = [number(item.metrics.get(metric.name), metric.factor) for metric in metrics]
        lines.append(f"| {plain_markdown(item.name)} | {' | '.join(map(plain_markdown, cells))} |")
    judge = board.protocol["judges"][0]
    about = (
        f"{board.protocol['private']['count']:,} private images, gallery of {board.protocol['gallery']:,}, judge "
        f"{judge['name']} ({judge['family']}, trained on {judge['trained_on']}); brackets are 95 % intervals. Controls "
        "first. At least this much leaks under this budget; a stronger attack may show more."
    )
    return "\n".join([*lines, "", plain_markdown(about)])


def _content(stored_images: int) -> str:
    images = (
        f"**The weights contain {stored_images:,} public images.**"
        if stored_images
        else "The weights contain no image as such. A trained network may have memorised parts of its training images."
    )
    return (
        f"{images} `attack.json` and `weights.safetensors` hold no code and no pickle. Load them with "
        '`featinv.hub.load("OWNER/NAME")`, which refuses classes that featinv does not export.'
    )
