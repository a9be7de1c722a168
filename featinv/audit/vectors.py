"""The audit's suite on vectors in files, for callers that need its scoreboard and no gate."""

from typing import TYPE_CHECKING

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
) -> "Scoreboard":
    """Train the suite on files of vectors and their images within so many minutes, and return its scoreboard.

    Everything is left in `out`, as by `run_audit`; called again it goes on there. Raises BadInput as `run_audit` does.
    """
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
    return run_audit(settings).board
