"""Settings of an experiment that the command line may change."""

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment
from gloss.run.methods import method


def with_precision(asked: Experiment, precision: float) -> Experiment:
    """The same with this `precision` in every score that can stop early. Raises BadSettings where none can."""
    can = ["precision" in method("score", settings).__dataclass_fields__ for settings in asked.score]
    if not any(can):
        raise BadSettings("no score of this experiment asks a judge until a precision is reached; detection and fuzzing can")
    scores = [settings | {"precision": precision} if one else settings for one, settings in zip(can, asked.score, strict=True)]
    return Experiment.of(asked.tables() | {"score": scores})
