"""The lock that keeps two processes out of one run folder."""

from pathlib import Path

import filelock

LOCK_NAME = ".run.lock"


class FolderLock:
    """A lock of the operating system on a file in `folder`, held until `release` or the end of the process.

    The lock ends with its process, also after SIGKILL; the file stays and means nothing by itself. Within one process
    it can be taken again. `taken` is False where another process holds it. Raises OSError where the folder cannot be
    written, or its file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # is_singleton: one lock a path and process, so that a second run of the same process does not wait for itself.
        self._lock = filelock.FileLock(folder.resolve() / LOCK_NAME, timeout=0, thread_local=False, is_singleton=True)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            self.taken = False
        else:
            self.taken = True

    def release(self) -> None:
        """Let other processes in."""
        if self.taken:
            self._lock.release()
            self.taken = False
