"""A decoder from outside, as docs/foreign_decoder.md uses it: plug-in and folder of reconstructions give one board."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import featinv as fi
from featinv import cli

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "foreign_decoder.md").read_text(encoding="utf-8")
SMALLER = {
    "scenes(2400": "scenes(120",
    "width=32": "width=4",
    "images=10_000, batch_size=128": "images=64, batch_size=32",
}


@pytest.fixture(scope="module", autouse=True)
def _examples() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "recipes" / "examples"))
    yield
    sys.path.remove(str(ROOT / "recipes" / "examples"))


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, fi.Scoreboard]:
    """Run the program and the command of the page, with smaller numbers."""
    folder = tmp_path_factory.mktemp("page")
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    for usual, small in SMALLER.items():
        assert usual in program, usual
        program = program.replace(usual, small)
    [command] = re.findall(r"```\nfeatinv (.*?)```", PAGE, flags=re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(program, "docs/foreign_decoder.md", "exec"), {})
        flags = cli.parse(shlex.split(command))
        assert flags.call(flags) == 0
    runs = folder / "runs" / "foreign"
    return {name: fi.load_scoreboard(runs / name) for name in ("plug_in", "scored")}


@pytest.mark.parametrize("row", ["yang2019", "mean image", "mismatched features (yang2019)"])
def test_the_folder_gets_every_number_of_the_plug_in(boards: dict[str, fi.Scoreboard], row: str) -> None:
    plug_in, scored = boards["plug_in"][row], boards["scored"][row]
    assert scored.metrics == plug_in.metrics
    assert scored.metrics_by == plug_in.metrics_by
    assert {"psnr", "ssim", "reid_top10", "judge_cosine"} <= set(scored.metrics)


def test_another_attack_gets_other_numbers(boards: dict[str, fi.Scoreboard]) -> None:
    """The comparison above can fail: rows of one board differ."""
    assert boards["scored"]["yang2019"].metrics != boards["scored"]["mean image"].metrics


def test_no_gate_passes_on_either(boards: dict[str, fi.Scoreboard]) -> None:
    for board in boards.values():
        with pytest.raises(fi.BadInput):
            fi.audit.gate(board, "L4")


@pytest.mark.parametrize(("size", "blocks"), [(8, 1), (32, 3), (64, 4)])
def test_a_block_doubles_the_side(size: int, blocks: int) -> None:
    """The paper's network for 64 px has five blocks: four with Tanh, and the last with a sigmoid."""
    from yang2019 import Inversion  # type: ignore[import-not-found]

    network = Inversion((16,), size, width=2)
    assert sum(isinstance(module, torch.nn.Tanh) for module in network.modules()) == blocks
    fi.testing.check_decoder(network)


def test_truncation_keeps_the_largest_scores() -> None:
    from yang2019 import Inversion

    network = Inversion(4, 8, width=2, top=2).eval()
    scores = torch.tensor([[0.1, 0.6, 0.25, 0.05]])
    kept = torch.tensor([[0.0, 0.6, 0.25, 0.0]])
    assert torch.equal(network(scores), network(kept))
    network.top = None
    assert not torch.equal(network(scores), network(kept))


@pytest.mark.parametrize("arguments", [((4, 2, 2), 8), ((4,), 24), ((4,), 4)])
def test_what_the_network_cannot_make_is_refused(arguments: tuple[tuple[int, ...], int]) -> None:
    from yang2019 import Inversion

    with pytest.raises(ValueError, match="expected vectors, and a power of two"):
        Inversion(*arguments)
    with pytest.raises(ValueError, match="top: expected 1 to 4"):
        Inversion((4,), 8, top=5)
