"""The audit's suite on vectors in files, for callers that need its scoreboard and no gate."""

from pathlib import Path
from typing import TYPE_CHECKING

from featinv.audit.adapted import defended_suite, undefended_suite
from featinv.audit.file_source import SIZE
from featinv.audit.running import run_audit
from featinv.audit.settings import AuditSettings

if TYPE_CHECKING:
    from featinv.evaluation import Scoreboard


def attack_vectors(
    features: str,
    public_features: str,
    public: str,
    private: str,
    out: str,
    *,
    minutes: float,
    size: int | None = None,
    judges: tuple[str, ...] = (),
    train_judge: bool = False,
    seed: int = 0,
    undefended: tuple[str, str] | None = None,
) -> "Scoreboard":
    """Train what identifies most on files of vectors and their images within so many minutes; return the scoreboard.

    `undefended` is the folder of such a call on the undefended vectors of the same images, and the file of the public
    ones: the suite then attacks a defence that is known (`featinv.audit.adapted`), before the judge that was trained
    there. Everything is left in `out`, as by `run_audit`; called again it goes on there. Raises BadInput as `run_audit`
    does, and for an `undefended` folder without the trained attack.
    """
    if undefended is not None and train_judge:
        judges, train_judge = (str(Path(undefended[0]) / "judge.safetensors"),), False
    settings = AuditSettings(
        out=out,
        features=features,
        public_features=public_features,
        public=public,
        private=private,
        minutes=minutes,
        size=size,
        judges=judges,
        train_judge=train_judge,
        seed=seed,
        show_images=False,
    )
    suite = undefended_suite(size or SIZE) if undefended is None else defended_suite(*undefended)
    return run_audit(settings, suite=suite).board
