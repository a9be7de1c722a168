"""A stand-in of the Hugging Face Hub in a folder: the calls of `huggingface_hub.HfApi` that `fi.hub` makes.

Parameters are named as in HfApi, with the same defaults; `test_hub.py` compares both. Errors are huggingface_hub's.
"""

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
from huggingface_hub import errors


def _answer(kind: type[Exception], status: int) -> Exception:
    return kind("refused", response=SimpleNamespace(headers={}, request=None, status_code=status))


class LocalHub:
    """Repositories are folders `root/OWNER/NAME/COMMIT`; a text file beside them names the newest commit."""

    def __init__(self, root: Path) -> None:
        self.root, self.private, self.token = root, {}, "a token"

    def create_repo(
        self, repo_id: str, *, token: str | bool | None = None, private: bool | None = None, exist_ok: bool = False
    ) -> str:
        self._check(repo_id, token)
        if repo_id in self.private and not exist_ok:
            raise _answer(errors.HfHubHTTPError, 409)
        self.private.setdefault(repo_id, bool(private))
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        return repo_id

    def create_commit(
        self, repo_id: str, operations: Any, *, commit_message: str, token: str | bool | None = None
    ) -> SimpleNamespace:
        self._check(repo_id, token)
        assert commit_message
        contents = {}
        for operation in operations:
            assert isinstance(operation, huggingface_hub.CommitOperationAdd)
            with operation.as_file() as file:
                contents[operation.path_in_repo] = file.read()
        oid = hashlib.sha1(repr(sorted(contents.items())).encode()).hexdigest()
        folder = self.root / repo_id / oid
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        (self.root / repo_id / "main").write_text(oid)
        return SimpleNamespace(oid=oid)

    def repo_info(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        files_metadata: bool = False,
        token: bool | str | None = None,
    ) -> SimpleNamespace:
        self._check(repo_id, token)
        if repo_id not in self.private:
            raise _answer(errors.RepositoryNotFoundError, 404)
        main = self.root / repo_id / "main"
        sha = revision or (main.read_text() if main.is_file() else None)
        folder = self.root / repo_id / str(sha)
        if revision is not None and not folder.is_dir():
            raise _answer(errors.RevisionNotFoundError, 404)
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        siblings = [
            SimpleNamespace(rfilename=path.name, size=path.stat().st_size if files_metadata else None) for path in paths
        ]
        return SimpleNamespace(private=self.private[repo_id], sha=sha, siblings=siblings)

    def snapshot_download(
        self, repo_id: str, *, revision: str | None = None, allow_patterns: list[str] | str | None = None
    ) -> str:
        folder = self.root / "cache" / repo_id / str(revision)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in allow_patterns or ():
            shutil.copy(self.root / repo_id / str(revision) / name, folder)
        return str(folder)

    def _check(self, repo_id: str, token: str | bool | None) -> None:
        huggingface_hub.utils.validate_repo_id(repo_id)
        if token is True and not self.token:
            raise errors.LocalTokenNotFoundError("no token")
