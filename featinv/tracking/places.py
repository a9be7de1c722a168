"""Settings as plain data without the paths of the machine on which they were used."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featinv.errors import BadInput

_ADDRESS = r"\b(?!file:)[a-z][a-z0-9+.-]*://\S*"
_PLACE = r"(?:file:/*)?(?<![\w.])(?:~|/|[A-Za-z]:\\)(?:[^\s'\"(),:;/\\]+[/\\])+(?P<name>[^\s'\"(),:;/\\]*)"
_EITHER = re.compile(f"{_ADDRESS}|{_PLACE}")


def plain_settings(config: Any) -> dict[str, Any]:
    """Return settings (a dataclass, a mapping or None) as JSON-able data. Raises BadInput for anything else."""
    if config is None:
        return {}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    if not isinstance(config, Mapping):
        raise BadInput(f"config: expected a dataclass or a mapping of settings, got {type(config).__name__}")
    return {str(key): _plain(value) for key, value in config.items()}


def without_places(value: Any) -> Any:
    """Return plain data with every absolute path cut to its last part (".../photos"); addresses of the net stay."""
    if isinstance(value, Mapping):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(item) for item in value]
    return _cut(value) if isinstance(value, str) else value


def _cut(text: str) -> str:
    if text.startswith(("/", "~/")) and "\n" not in text:
        return f".../{Path(text).name}"
    text = text.replace(str(Path.home()), "~") if str(Path.home()) != "/" else text
    return _EITHER.sub(lambda match: match[0] if match["name"] is None else f".../{match['name']}", text)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
