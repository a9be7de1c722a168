"""An attack that was pushed is the attack that is loaded; nothing else is sent, and nothing else is trusted."""

import dataclasses
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from local_hub import LocalHub

import featinv as fi
from featinv.attacks import NearestNeighbour, Ridge, save_attack

REPO = "owner/ridge"
USE = "Tests of vectors of the encoder means."


class ToyJudge:
    """4 x 4 means; the brightest channel is the label."""

    name, family, trained_on, fingerprint = "toy", "pooling", "nothing", "toy"

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1), images.mean((2, 3))


@pytest.fixture(scope="module")
def fitted() -> tuple[dict[str, Any], fi.Scoreboard, torch.Tensor]:
    public, private = fi.data.scenes(40, size=32, seed=0).split(0.5, seed=0)
    encoder = fi.encoders.wrap(torch.nn.AvgPool2d(16), name="m", family="a|b", trained_on="nothing", input_size=32)
    victim = fi.Victim(encoder)
    pairs, release = fi.extract(victim, public), fi.release(victim, private, seed=0)
    attacks = {
        "mean image": fi.attacks.MeanImage().fit(pairs),
        "neighbour": NearestNeighbour().fit(pairs),
        "ridge": Ridge(1.0).fit(pairs),
    }
    board = fi.compare(attacks, release, [ToyJudge()], galleries=[], resamples=100, progress=False)
    return attacks, board, torch.from_numpy(release.features)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    local = LocalHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: local)
    return local


@pytest.fixture
def folder(tmp_path: Path, fitted: Any) -> Path:
    save_attack(fitted[0]["ridge"], tmp_path / "ridge")
    return tmp_path / "ridge"


@pytest.fixture
def pushed(hub: LocalHub, folder: Path, fitted: Any) -> Path:
    revision = fi.hub.push(folder, REPO, fitted[1], "ridge", intended_use=USE)
    return hub.root / REPO / revision


@pytest.mark.parametrize("name", ["create_repo", "create_commit", "repo_info", "snapshot_download"])
def test_the_stand_in_takes_what_the_library_takes(name: str) -> None:
    """What a test of ours can pass, huggingface_hub can be passed too, with the same meaning where it is left out."""
    real = inspect.signature(getattr(huggingface_hub.HfApi, name)).parameters
    for parameter in inspect.signature(getattr(LocalHub, name)).parameters.values():
        assert parameter.name in real
        assert (parameter.kind, parameter.default) == (real[parameter.name].kind, real[parameter.name].default)


def test_the_library_answers_with_the_fields_that_are_read() -> None:
    def fields(kind: type) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)} | set(kind.__annotations__)

    assert {"private", "sha", "siblings"} <= fields(huggingface_hub.hf_api.ModelInfo)
    assert {"rfilename", "size"} <= fields(huggingface_hub.hf_api.RepoSibling)
    assert "oid" in fields(huggingface_hub.CommitInfo)


def test_what_is_loaded_reconstructs_the_same(pushed: Path, fitted: Any) -> None:
    attacks, _, features = fitted
    for revision in (None, pushed.name):
        loaded = fi.hub.load(REPO, revision=revision)
        assert torch.equal(loaded.reconstruct(features), attacks["ridge"].reconstruct(features))


def test_the_repository_is_private_and_holds_three_files(hub: LocalHub, pushed: Path, folder: Path) -> None:
    assert hub.private == {REPO: True}
    assert sorted(path.name for path in pushed.iterdir()) == ["README.md", "attack.json", "weights.safetensors"]
    for name in ("attack.json", "weights.safetensors"):
        assert (pushed / name).read_bytes() == (folder / name).read_bytes()


def test_the_model_card_states_use_victim_and_numbers(pushed: Path, fitted: Any) -> None:
    """Read by huggingface_hub's own parser; the numbers are those of the printed board."""
    attacks, board, _ = fitted
    card = huggingface_hub.ModelCard.load(pushed / "README.md")
    assert card.data.to_dict()["featinv"]["victim_fingerprint"] == attacks["ridge"].victim["fingerprint"]
    assert card.data.library_name == "featinv"
    assert USE in card.text
    [row] = [line for line in card.text.splitlines() if line.startswith("| ridge |")]
    printed = next(line for line in str(board).splitlines() if line.startswith("ridge "))
    assert row.split("|")[2].strip() in printed
    assert "| mean image |" in card.text
    assert "family: a\\|b" in card.text, "what comes from a file is text, not markup"


def test_a_public_repository_is_refused_unless_it_is_asked_for(hub: LocalHub, folder: Path, fitted: Any) -> None:
    hub.create_repo(REPO, private=False)
    with pytest.raises(fi.BadInput, match="owner/ridge: expected a private repository, got a public one"):
        fi.hub.push(folder, REPO, fitted[1], "ridge", intended_use=USE)
    assert list((hub.root / REPO).iterdir()) == []
    fi.hub.push(folder, REPO, fitted[1], "ridge", intended_use=USE, private=False)
    assert fi.hub.load(REPO).kind == "attack"


def test_public_images_are_sent_only_on_request(hub: LocalHub, tmp_path: Path, fitted: Any) -> None:
    save_attack(fitted[0]["neighbour"], tmp_path / "n")
    with pytest.raises(fi.BadInput, match="got 20 public images in them; pass stored_images=True"):
        fi.hub.push(tmp_path / "n", REPO, fitted[1], "neighbour", intended_use=USE)
    assert hub.private == {}
    revision = fi.hub.push(tmp_path / "n", REPO, fitted[1], "neighbour", intended_use=USE, stored_images=True)
    assert "contain 20 public images" in (hub.root / REPO / revision / "README.md").read_text()


def test_a_row_of_another_attack_or_victim_is_refused_before_anything_is_sent(
    hub: LocalHub, folder: Path, fitted: Any
) -> None:
    board = fitted[1]
    other = dataclasses.replace(board, victim={**board.victim, "fingerprint": "f" * 64})
    for changed, row, use, message in (
        (other, "ridge", USE, "expected a scoreboard of the attack's victim, .* got one of ffffffffffff;"),
        (board, "mean image", USE, "expected the row of the saved attack"),
        (board, "gan", USE, "no row 'gan'"),
        (board, "ridge", "  ", "intended_use: expected a sentence"),
    ):
        with pytest.raises(fi.BadInput, match=message):
            fi.hub.push(folder, REPO, changed, row, intended_use=use)
    unknown = json.loads((folder / "attack.json").read_text())
    unknown["config"]["victim"]["fingerprint"] = None
    (folder / "attack.json").write_text(json.dumps(unknown))
    with pytest.raises(fi.BadInput, match="a victim with a fingerprint, got one on vectors of an unknown encoder"):
        fi.hub.push(folder, REPO, board, "ridge", intended_use=USE)
    assert hub.private == {}


def test_no_token(hub: LocalHub, folder: Path, fitted: Any) -> None:
    hub.token = ""
    with pytest.raises(fi.BadInput, match="expected a token of the Hugging Face Hub, got none; run hf auth login"):
        fi.hub.push(folder, REPO, fitted[1], "ridge", intended_use=USE)


def test_the_library_itself_refuses_a_push_without_a_token(
    folder: Path, fitted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stand-in: huggingface_hub looks for the token before it opens a connection."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(fi.BadInput, match="expected a token of the Hugging Face Hub, got none"):
        fi.hub.push(folder, REPO, fitted[1], "ridge", intended_use=USE)
    with pytest.raises(fi.BadInput, match="owner/ridge: expected an answer of the Hugging Face Hub, got an error"):
        fi.hub.load(REPO)
    with pytest.raises(fi.BadInput, match="expected OWNER/NAME, got 'a/b/c'"):
        fi.hub.load("a/b/c")


def test_a_repository_or_revision_that_is_not_there(hub: LocalHub, pushed: Path) -> None:
    with pytest.raises(fi.BadInput, match="owner/none: expected a repository .* that you may read, found none"):
        fi.hub.load("owner/none")
    with pytest.raises(fi.BadInput, match="owner/ridge: expected a commit, branch or tag"):
        fi.hub.load(REPO, revision="v9")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("# only prose\n", "expected the fingerprint of the victim .*, got none"),
        ("---\nlibrary_name: featinv\n---\n", "expected the fingerprint of the victim .*, got none"),
        ("---\nfeatinv: text\n---\n", "expected the fingerprint of the victim .*, got none"),
        ("---\nfeatinv: {victim_fingerprint: 5}\n---\n", "expected the fingerprint of the victim .*, got none"),
        ("---\nfeatinv: [\n---\n", "expected YAML between"),
        ("---\nfeatinv: {victim_fingerprint: abc}\n---\n", "expected the victim of the model card, abc, got an attack"),
    ],
)
def test_a_model_card_without_the_fingerprint_of_the_victim(pushed: Path, card: str, message: str) -> None:
    (pushed / "README.md").write_text(card)
    with pytest.raises(fi.BadInput, match=message):
        fi.hub.load(REPO)


def test_a_foreign_class_is_not_imported(pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_attack.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    document = json.loads((pushed / "attack.json").read_text())
    (pushed / "attack.json").write_text(json.dumps({**document, "class": "their_attack.Theirs"}))
    with pytest.raises(fi.BadInput, match=r"class 'their_attack\.Theirs' is not one of featinv's"):
        fi.hub.load(REPO)
    assert "their_attack" not in sys.modules


def test_large_and_missing_files_are_refused_before_they_are_downloaded(hub: LocalHub, pushed: Path) -> None:
    with pytest.raises(fi.BadInput, match=r"expected at most 10 bytes of weights\.safetensors, got \d+"):
        fi.hub.load(REPO, limit=10)
    (pushed / "attack.json").unlink()
    with pytest.raises(fi.BadInput, match=r"an attack that fi\.hub\.push wrote, got no attack\.json"):
        fi.hub.load(REPO)
    assert not (hub.root / "cache").exists()


def test_only_files_of_a_saved_attack_are_sent(hub: LocalHub, folder: Path, fitted: Any) -> None:
    (folder / "private.png").write_bytes(b"an image")
    revision = fi.hub.push(folder, REPO, fitted[1], "ridge", intended_use=USE)
    assert not (hub.root / REPO / revision / "private.png").exists()


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(fi.BadInput, match=r"fi\.hub: needs huggingface_hub.*pip install 'featinv\[hub\]'"):
        fi.hub.load(REPO)
