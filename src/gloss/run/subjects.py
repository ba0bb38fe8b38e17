"""Loads the language model that is read, wherever a verb needs one, and tells what people should know of it."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from gloss.models.machine import AUTO
from gloss.models.placement import TYPES, device_of, dtype_of
from gloss.models.subject import Subject
from gloss.run.experiment import EMBEDDED, NO_TOKEN, Experiment, SubjectSettings
from gloss.run.plan import SUBJECT_RECORD, dtype_taken, embedded
from gloss.run.progress import tell
from gloss.store.atomic import write_bytes
from gloss.store.sealed import sealed


def opened(asked: SubjectSettings) -> Subject:
    """The subject with its trained weights. Raises BadInput and BadSettings."""
    start = asked.start_token
    subject = Subject.load(
        embedded("subject") if asked.model == EMBEDDED else asked.model,
        asked.revision or None,
        dtype=dtype_of(asked.dtype),
        device=asked.device,
        start_token=start if isinstance(start, int) else None if start == NO_TOKEN else "bos",
        adapter=asked.adapter or None,
    )
    tell(*(f"note: {note}" for note in subject.notes))
    return subject


@lru_cache(maxsize=1)
def of_run(asked: SubjectSettings, place: Path) -> Subject:
    """The subject of a run, in the type that the run began with: the record in `place` says which.

    A run that goes on elsewhere, with a card or without, does not change its type.
    """
    if asked.dtype == AUTO and (taken := dtype_taken(place)):
        return opened(replace(asked, dtype=taken))
    subject = opened(asked)
    content = {"dtype": named(subject.model.dtype), "device": str(subject.device)}
    write_bytes(place / SUBJECT_RECORD, sealed(content))
    return subject


def named(dtype: object) -> str:
    """What a type of torch is called in settings."""
    return next((name for name, each in TYPES.items() if each == dtype), str(dtype))


def require_devices(experiment: Experiment) -> None:
    """Raises BadSettings for a device of the subject, or of a language model in this process, that is not there."""
    chat = experiment.chat if experiment.chat.get("backend") == "transformers" else {}
    for name in (experiment.subject.device, str(chat.get("device", AUTO))):
        device_of(name)
