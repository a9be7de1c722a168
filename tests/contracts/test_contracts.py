"""Every export of every group of plug-ins obeys the contract of its arrow."""

import importlib
from pathlib import Path

import pytest
from contract_table import GROUPS, Elsewhere

EXPORTS = [(group, name) for group in GROUPS for name in importlib.import_module(f"featinv.{group}").__all__]
ARROWS = [(group, name) for group, name in EXPORTS if not isinstance(GROUPS[group].get(name), Elsewhere)]
OTHERS = [(group, name) for group, name in EXPORTS if isinstance(GROUPS[group].get(name), Elsewhere)]


def ids(pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{group}.{name}" for group, name in pairs]


@pytest.mark.parametrize(("group", "name"), ARROWS, ids=ids(ARROWS))
def test_every_export_obeys_its_contract(group: str, name: str) -> None:
    assert name in GROUPS[group], f"featinv.{group}.{name} has no entry in contract_table.py: say how to make one"
    checks = GROUPS[group][name]
    assert not isinstance(checks, Elsewhere)
    assert checks, f"featinv.{group}.{name}: an empty list checks nothing"
    for check in checks:
        check()


@pytest.mark.parametrize(("group", "name"), OTHERS, ids=ids(OTHERS))
def test_what_is_no_arrow_is_tested_where_the_table_says(group: str, name: str) -> None:
    entry = GROUPS[group][name]
    assert isinstance(entry, Elsewhere)
    file = Path(__file__).parents[1] / entry.file
    assert file.is_file(), f"contract_table.py sends featinv.{group}.{name} to {entry.file}, which is not there"
    called = entry.through or name
    assert called in file.read_text(encoding="utf-8"), f"{entry.file} does not mention {called}"


@pytest.mark.parametrize("group", GROUPS)
def test_the_table_names_exports_only(group: str) -> None:
    gone = set(GROUPS[group]) - set(importlib.import_module(f"featinv.{group}").__all__)
    assert not gone, f"contract_table.py names {sorted(gone)}, which featinv.{group} does not export"
