"""Pushing a saved attack to a repository of the Hugging Face Hub, and loading one from there."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from featinv import files
from featinv.attacks import load_attack
from featinv.attacks.persistence import JSON_NAME, WEIGHTS_LIMIT
from featinv.errors import BadInput
from featinv.evaluation import Scoreboard
from featinv.extras import library
from featinv.hub import model_card
from featinv.saved_folder import DOCUMENT_LIMIT, WEIGHTS_NAME


def push(
    folder: Path | str,
    repo: str,
    board: Scoreboard,
    row: str,
    *,
    intended_use: str,
    private: bool = True,
    stored_images: bool = False,
    allow: Iterable[type | str] | type | str = (),
) -> str:
    """Upload the attack that `save_attack` wrote to `folder` as one commit of `repo` (OWNER/NAME); return its id.

    The commit holds `attack.json`, `weights.safetensors` and a model card that is written from `row` of `board`. The
    repository is created where it is missing. The token is that of `hf auth login` or HF_TOKEN. `stored_images=True`
    permits weights that contain public images (neighbour attacks); `allow` is that of `load_attack`.
    Raises BadInput before anything is sent for a folder that `load_attack` refuses, a victim without fingerprint, a
    row of another victim or attack and an empty `intended_use`; for a missing token; and for a public repository
    unless `private=False`.
    """
    folder = Path(folder)
    attack = load_attack(folder, allow)
    _check_row(attack, board, row)
    if not intended_use.strip():
        raise BadInput("intended_use: expected a sentence for the model card, got none; say what the attack is for")
    count = _count_stored_images(folder / WEIGHTS_NAME)
    if count and not stored_images:
        raise BadInput(
            f"{folder}: expected weights without images, got {count} public images in them; pass stored_images=True if "
            "they may be shared"
        )
    document = files.read_json(folder / JSON_NAME, DOCUMENT_LIMIT)
    card = model_card.write_card(board, row, document, intended_use=intended_use, stored_images=count)
    return _commit(folder, repo, card, private=private)


def load(
    repo: str, allow: Iterable[type | str] | type | str = (), *, revision: str | None = None, limit: int = WEIGHTS_LIMIT
) -> Any:
    """Download the attack that `push` wrote to `repo` (OWNER/NAME) and load it as `load_attack` does.

    `revision` is a commit, branch or tag; without one, the newest commit. Nothing but the three files of `push` is
    downloaded, into the cache of huggingface_hub. Raises BadInput for a repository or revision that is not there, a
    missing file, more than `limit` bytes of weights, a model card without the fingerprint of the victim or with
    another one than the attack has, and for what `load_attack` refuses (foreign classes unless `allow` names them).
    """
    limits = {JSON_NAME: DOCUMENT_LIMIT, WEIGHTS_NAME: limit, model_card.NAME: model_card.LIMIT}
    with _one_line(repo):
        api = _api()
        info = api.repo_info(repo, revision=revision, files_metadata=True)
        _check_files(repo, {file.rfilename: file.size for file in info.siblings or ()}, limits)
        # The commit whose sizes were read, and not a later one.
        folder = Path(api.snapshot_download(repo, revision=info.sha, allow_patterns=sorted(limits)))
    fingerprint = model_card.read_fingerprint(folder / model_card.NAME)
    attack = load_attack(folder, allow, limit=limit)
    if attack.victim.get("fingerprint") != fingerprint:
        raise BadInput(
            f"{repo}: expected the victim of the model card, {fingerprint[:12]}, got an attack on "
            f"{str(attack.victim.get('fingerprint'))[:12]}; ask its author to push it again"
        )
    return attack


def _api() -> Any:
    return library("huggingface_hub", "fi.hub").HfApi()


def _commit(folder: Path, repo: str, card: str, *, private: bool) -> str:
    hub = library("huggingface_hub", "fi.hub")
    contents = {JSON_NAME: folder / JSON_NAME, WEIGHTS_NAME: folder / WEIGHTS_NAME, model_card.NAME: card.encode()}
    with _one_line(repo):
        api = _api()
        # token=True: huggingface_hub refuses to go on without a token.
        api.create_repo(repo, private=private, exist_ok=True, token=True)
        # `exist_ok` leaves a repository that exists as it is, public or private.
        if private and not api.repo_info(repo, token=True).private:
            raise BadInput(
                f"{repo}: expected a private repository, got a public one; make it private in its settings, or pass "
                "private=False"
            )
        operations = [hub.CommitOperationAdd(name, content) for name, content in contents.items()]
        commit = api.create_commit(repo, operations, commit_message="Push a featinv attack", token=True)
    return str(commit.oid)


def _check_row(attack: Any, board: Scoreboard, row: str) -> None:
    score, fingerprint = board[row], attack.victim.get("fingerprint")
    if not fingerprint:
        raise BadInput(
            "push: expected an attack on a victim with a fingerprint, got one on vectors of an unknown encoder; fit it "
            "on pairs that featinv.extract made"
        )
    if board.victim.get("fingerprint") != fingerprint:
        raise BadInput(
            f"push: expected a scoreboard of the attack's victim, {fingerprint[:12]}, got one of "
            f"{str(board.victim.get('fingerprint'))[:12]}; score the attack on its victim"
        )
    if score.parameters != attack.parameters:
        raise BadInput(
            f"push: expected the row of the saved attack, which has {attack.parameters:,} parameters, got {row!r} with "
            f"{score.parameters:,}; name another row, or score the attack again"
        )


def _count_stored_images(weights: Path) -> int:
    """Return how many images, (N, S, S, 3) uint8, the weights hold."""
    with safe_open(weights, framework="pt") as opened:
        slices = [opened.get_slice(name) for name in opened.keys()]  # noqa: SIM118  # safe_open is no mapping
    return sum(
        item.get_shape()[0]
        for item in slices
        if item.get_dtype() == "U8" and len(item.get_shape()) == 4 and item.get_shape()[-1] == 3
    )


def _check_files(repo: str, sizes: dict[str, int | None], limits: dict[str, int]) -> None:
    for name, limit in limits.items():
        if name not in sizes:
            raise BadInput(f"{repo}: expected the files of an attack that fi.hub.push wrote, got no {name}")
        size = sizes[name]
        if size is None or size > limit:
            raise BadInput(
                f"{repo}: expected at most {limit} bytes of {name}, got {size}; if you trust it, raise limit"
            )


@contextlib.contextmanager
def _one_line(repo: str) -> Iterator[None]:
    """Turn the errors of huggingface_hub into BadInput that says what to do."""
    errors = library("huggingface_hub.errors", "fi.hub")
    # Errors of the connection are those of its HTTP library, whose name depends on the version.
    connection = (OSError, getattr(errors, "HTTPError", OSError))
    try:
        yield
    except errors.LocalTokenNotFoundError as error:
        raise BadInput(
            f"{repo}: expected a token of the Hugging Face Hub, got none; run hf auth login, or set HF_TOKEN"
        ) from error
    except errors.HFValidationError as error:
        raise BadInput(f"repo: expected OWNER/NAME, got {repo!r} ({_first_line(error)})") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{repo}: expected a commit, branch or tag of it as revision, found no such one") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(
            f"{repo}: expected a repository of the Hugging Face Hub that you may read, found none; check its name, and "
            "log in if it is private (hf auth login)"
        ) from error
    except connection as error:
        raise BadInput(
            f"{repo}: expected an answer of the Hugging Face Hub, got an error ({_first_line(error)}); try again"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
