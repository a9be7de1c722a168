"""Every export of every room of plug-ins obeys the contract of its arrow."""

import importlib
from pathlib import Path

import pytest
from contract_table import ROOMS, Elsewhere

EXPORTS = [(room, name) for room in ROOMS for name in importlib.import_module(f"featinv.{room}").__all__]
ARROWS = [(room, name) for room, name in EXPORTS if not isinstance(ROOMS[room].get(name), Elsewhere)]
OTHERS = [(room, name) for room, name in EXPORTS if isinstance(ROOMS[room].get(name), Elsewhere)]


def ids(pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{room}.{name}" for room, name in pairs]


@pytest.mark.parametrize(("room", "name"), ARROWS, ids=ids(ARROWS))
def test_every_export_obeys_its_contract(room: str, name: str) -> None:
    assert name in ROOMS[room], f"featinv.{room}.{name} has no entry in contract_table.py: say how to make one"
    checks = ROOMS[room][name]
    assert not isinstance(checks, Elsewhere)
    assert checks, f"featinv.{room}.{name}: an empty list checks nothing"
    for check in checks:
        check()


@pytest.mark.parametrize(("room", "name"), OTHERS, ids=ids(OTHERS))
def test_what_is_no_arrow_is_tested_where_the_table_says(room: str, name: str) -> None:
    entry = ROOMS[room][name]
    assert isinstance(entry, Elsewhere)
    file = Path(__file__).parents[1] / entry.file
    assert file.is_file(), f"contract_table.py sends featinv.{room}.{name} to {entry.file}, which is not there"
    called = entry.through or name
    assert called in file.read_text(encoding="utf-8"), f"{entry.file} does not mention {called}"


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_names_exports_only(room: str) -> None:
    gone = set(ROOMS[room]) - set(importlib.import_module(f"featinv.{room}").__all__)
    assert not gone, f"contract_table.py names {sorted(gone)}, which featinv.{room} does not export"
