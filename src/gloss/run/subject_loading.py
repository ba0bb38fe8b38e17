"""Loads the language model that is read, wherever a verb needs one, and tells what people should
know of it.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from gloss.models.bundled import model_place
from gloss.models.model_settings import AUTO
from gloss.models.pretrained.loading import TORCH_DTYPES, resolve_device, resolve_dtype
from gloss.models.structure.placement import DeviceMap
from gloss.models.subject import Subject
from gloss.run.experiment import NO_TOKEN, Experiment, SubjectSettings
from gloss.run.plan import SUBJECT_RECORD, recorded_dtype
from gloss.run.progress import print_notes
from gloss.store.atomic import write_bytes
from gloss.store.sealed_json import seal_json


def load_named_subject(asked: SubjectSettings) -> Subject:
    """The subject with its trained weights. Raises BadInput and BadSettings."""
    start = asked.start_token
    subject = Subject.load(
        model_place(asked.model),
        asked.revision or None,
        dtype=resolve_dtype(asked.dtype),
        device=DeviceMap(asked.device_map) if asked.device_map else asked.device,
        start_token=start if isinstance(start, int) else None if start == NO_TOKEN else "bos",
        adapter=asked.adapter or None,
    )
    print_notes(*(f"note: {note}" for note in subject.notes))
    if not asked.other:
        return subject
    # in the type of the first, which is what is recorded of both
    kept = dtype_name(subject.model.dtype)
    other = replace(asked, model=asked.other, revision="", adapter="", other="", dtype=kept)
    return subject.beside(load_named_subject(other))


@lru_cache(maxsize=1)
def load_recorded_subject(asked: SubjectSettings, folder: Path) -> Subject:
    """The subject of a run, in the type that the run began with: the record in `folder` says it.

    A run that goes on elsewhere, with a card or without, does not change its type.
    """
    if asked.dtype == AUTO and (taken := recorded_dtype(folder)):
        return load_named_subject(replace(asked, dtype=taken))
    subject = load_named_subject(asked)
    content = {"dtype": dtype_name(subject.model.dtype), "device": str(subject.device)}
    write_bytes(folder / SUBJECT_RECORD, seal_json(content))
    return subject


def dtype_name(dtype: object) -> str:
    """What a type of torch is called in settings."""
    return next((name for name, each in TORCH_DTYPES.items() if each == dtype), str(dtype))


def require_devices(experiment: Experiment) -> None:
    """Raises BadSettings for a device of the subject, or of a language model in this process, that
    is not there.
    """
    for name in sorted(experiment.devices):
        resolve_device(name)
