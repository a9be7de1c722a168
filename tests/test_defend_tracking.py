"""The sweep in wandb, read back from the offline runs, and the sweep file as wandb's own agent reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from defend_vectors import write_sides
from recipe_modules import recipe
from tracked_records import Records, read_all

import featinv as fi
from featinv.defend import DefendSettings, run_defend

SWEEP = Path(__file__).parents[1] / "recipes" / "configs" / "defend_sweep.yaml"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Records]:
    root = tmp_path_factory.mktemp("tracked")
    asked = {"policy": "top10<=25%", "keep": "95%", "defences": "RandomRotation:key=abc"}
    settings = DefendSettings(**write_sides(root), out=str(root / "out"), tracking={"mode": "offline"}, **asked)
    run_defend(settings)
    return read_all(root / "out")


def test_one_run_a_setting_and_one_for_the_decision(runs: dict[str, Records]) -> None:
    assert set(runs) == {"Identity", "RandomRotation:key=hidden", "decision"}
    rotated = runs["RandomRotation:key=hidden"].summary
    assert rotated["verdict/colour"] == "red"
    assert 0 <= rotated["verdict/floor"] <= rotated["verdict/ceiling"] <= 1
    assert rotated["utility/kept"] == pytest.approx(1, abs=0.02)
    assert "None of 2 settings" in runs["decision"].summary["decision/sentence"]
    assert runs["decision"].table("decision/settings")["setting"] == ["Identity", "RandomRotation:key=hidden"]


def test_no_key_is_told(runs: dict[str, Records]) -> None:
    assert not [name for name, run in runs.items() if "key=abc" in run.text]


def test_the_recipe_takes_what_the_agent_gives_it() -> None:
    from wandb.sdk.launch.sweeps import utils

    sweep: dict[str, Any] = yaml.safe_load(SWEEP.read_text(encoding="utf-8"))
    for text in sweep["parameters"]["defences"]["values"]:
        first = {name: {"value": one.get("value", text)} for name, one in sweep["parameters"].items()}
        given = utils.create_sweep_command_args({"args": first})["args"]
        shell = " ".join(sweep["command"][2].split())
        flags = shell.partition("recipes/defend.py ")[2].partition(' "$@"')[0].replace('"', "").split()
        config = fi.command_line.parse(recipe("defend").DefendSettings, arguments=[*flags, *given])
        assert (config.defences, config.policy, config.keep) == (text, "top10<=10%", "95%")
        assert config.tracking["mode"] == "online"
    assert (SWEEP.parents[2] / sweep["program"]).is_file()
