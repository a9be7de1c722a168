"""What can be refused before an audit opens a single image."""

import os

import featinv as fi
from featinv import environment
from featinv.audit.live_source import components_of
from featinv.audit.settings import NOBODY, AuditSettings
from featinv.audit.suite import SUITE
from featinv.configuration import check_component
from featinv.errors import BadInput
from featinv.outputs import check_out


def check_early(settings: AuditSettings) -> None:
    """Raise BadInput for inherited settings, folders, files, judges and names with which the audit could only end.

    Nothing is made, and no image is opened: of --public and --private it is asked whether they are there.
    """
    environment.check()
    fi.precision.check_precision(settings)
    check_out(settings.out)
    _check_paths(settings)
    _check_name(settings)
    _check_components(settings)
    fi.evaluation.check_metrics(settings.metrics, "--metrics")
    fi.tracking.TrackingSettings(**settings.tracking)
    for judge in settings.judges:
        try:
            fi.encoders.judge(judge)
        except BadInput as error:
            raise BadInput(f"--judge: {error}") from error


def _check_components(settings: AuditSettings) -> None:
    if settings.features is not None:
        return
    encoder, defence = components_of(settings)
    check_component(encoder, fi.encoders, "--victim")
    check_component(defence, fi.defences, "--defence")


def _check_paths(settings: AuditSettings) -> None:
    for name in ("public", "private", "features", "public_features"):
        path = getattr(settings, name)
        if path is None:
            continue
        try:
            os.stat(path)
        except OSError as error:
            flag = name.replace("_", "-")
            raise BadInput(
                f"--{flag}: {path}: expected a file or a folder ({error.strerror}); check the path"
            ) from error


def _check_name(settings: AuditSettings) -> None:
    """Whether the named attack is tried on these vectors is known later; a name that no audit has, now."""
    own = (given.partition("=")[0].strip() for given in settings.attacks)
    names = [*(entry.name for entry in SUITE), *own, NOBODY]
    if settings.named not in names:
        raise BadInput(f"--named: no attack {settings.named!r}; there are {', '.join(names[:-1])}, or {NOBODY!r}")
