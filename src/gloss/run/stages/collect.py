"""Stage `collect`: the subject reads the texts once, and every feature's activations are kept."""

from gloss.collect.collect import Collect
from gloss.collect.forward import Forward
from gloss.collect.reading import Reading
from gloss.run.plan import Plan
from gloss.run.progress import bar
from gloss.run.sources import texts
from gloss.run.stages.decompose import decompose, load, load_subject


def collect_with_models(plan: Plan) -> None:
    """Load the subject and the dictionary, and collect what is not collected yet."""
    subject = load_subject(plan)
    dictionary = decompose(plan, subject)
    asked = plan.experiment.collect
    method = Collect(context_length=asked.context_length, max_tokens=asked.max_tokens or None)
    with bar("collect", "tokens") as progress:
        method.run(subject, dictionary, texts(plan), plan.place("collect"), progress)
    plan.part("collect", 0).write({})


def reader_of(plan: Plan) -> Reading:
    """Reads new texts with the subject, the dictionary and the length of sequences that the run collected with."""
    subject = load_subject(plan)
    dictionary = load(plan, subject)
    room = plan.experiment.collect.context_length - (subject.start_token is not None)
    return Reading(Forward(subject, dictionary.reads, Collect().batch_tokens), dictionary, room)
