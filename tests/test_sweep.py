"""The sweep file, read by wandb's own agent code and parsed by the recipe that it starts."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from recipe_modules import recipe

import featinv as fi

SWEEP = Path(__file__).parents[1] / "recipes" / "configs" / "sweep.yaml"


@pytest.fixture(scope="module")
def sweep() -> dict[str, Any]:
    return yaml.safe_load(SWEEP.read_text(encoding="utf-8"))


def command(sweep: dict[str, Any]) -> list[str]:
    """Return what the agent would start for the first value of every parameter."""
    from wandb.sdk.launch.sweeps import utils

    first = {
        name: {"value": one.get("value", one.get("values", [one.get("min")])[0])}
        for name, one in sweep["parameters"].items()
    }
    arguments = utils.create_sweep_command_args({"args": first})["args"]
    given = utils.create_sweep_command(sweep["command"])
    return [word for part in given for word in (arguments if part == "${args}" else [part])]


def test_the_recipe_takes_what_the_agent_gives_it(sweep: dict[str, Any]) -> None:
    words = command(sweep)
    shell, given = words[2], words[words.index("sweep") + 1 :]
    assert words[:2] == ["sh", "-c"]
    assert shell.endswith('"$@"')
    flags = shell.partition("recipes/train.py ")[2].replace('"$@"', "").replace('"', "").split()
    config = fi.command_line.parse(recipe("train").Config, arguments=[*flags, *given])
    assert config.tracking.mode == "online"
    assert config.out == "runs/sweep/$WANDB_RUN_ID"
    assert config.decoder == fi.configuration.Component("Upsampling", {"width": 256})
    assert (config.training.lr, config.training.batch_size, config.training.images) == (0.0003, 32, 100_000)


def test_it_searches_by_public_validation_never_by_a_private_score(sweep: dict[str, Any]) -> None:
    assert sweep["metric"] == {"name": "val/psnr.max", "goal": "maximize"}
    assert not re.search("attack/", str(sweep["metric"]))
    assert Path(SWEEP.parents[2] / sweep["program"]).is_file()
