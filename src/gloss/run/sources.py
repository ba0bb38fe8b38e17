"""The texts of an experiment, opened."""

from gloss.collect.texts import Texts, open_texts
from gloss.run.plan import Plan


def texts(plan: Plan) -> Texts:
    """What the experiment's [collect] names. Raises BadInput for what does not exist."""
    asked = plan.experiment.collect
    return open_texts(asked.texts, asked.column)
