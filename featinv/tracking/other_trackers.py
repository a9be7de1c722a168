"""The same records for Accelerate's other trackers: the numbers, and images where they take them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from accelerate import tracking

from featinv import files
from featinv.errors import BadInput
from featinv.tracking.places import without_places
from featinv.tracking.run_record import CURVE_STEP, RunRecord


def known_trackers() -> list[str]:
    """Return the names that `also` may hold."""
    return sorted(str(name) for name in tracking.LOGGER_TYPE_TO_CLASS if str(name) != "wandb")


def check_trackers(names: tuple[str, ...]) -> None:
    """Raise BadInput for a name that Accelerate has no tracker for."""
    unknown = [name for name in names if name not in known_trackers()]
    if unknown:
        raise BadInput(f"tracking.also: there is no {unknown[0]!r}; expected one of {', '.join(known_trackers())}")


def tell(name: str, record: RunRecord, *, study: str, folder: Path, keep_places: bool) -> None:
    """Write one record to one tracker as "STUDY/KIND/NAME": settings, curves, final numbers, images.

    NAME is that of the attack's folder, because tensorboard makes folders of it.
    """
    kind = tracking.LOGGER_TYPE_TO_CLASS[name]
    title = f"{study}/{record.job_type}/{files.folder_name(record.name)}"
    folder.mkdir(parents=True, exist_ok=True)
    tracker = kind(title, str(folder)) if kind.requires_logging_directory else kind(title)
    tracker.start()
    settings = record.config if keep_places else without_places(record.config)
    tracker.store_init_configuration(dict(_flat(settings)))
    for row in record.curves:
        numbers = {key: value for key, value in row.items() if key not in ("step", CURVE_STEP)}
        tracker.log(numbers, step=int(row[CURVE_STEP]))
    tracker.log({key: value for key, value in record.summary.items() if isinstance(value, int | float)})
    if hasattr(tracker, "log_images"):
        for key, pixels in record.images.items():
            tracker.log_images({key: pixels[None]}, step=0)
    tracker.finish()


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as "attack.training.lr": what every tracker takes."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, bool | int | float | str) else str(value)
