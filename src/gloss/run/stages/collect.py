"""Stage `collect`: the subject reads the texts once, and every feature's activations are kept."""

from gloss.collect.collect import Collect
from gloss.collect.reading import Reading
from gloss.run.plan import Plan
from gloss.run.progress import bar, tell
from gloss.run.reporting.setup import left_out_of
from gloss.run.sources import tell_sides, texts
from gloss.run.stages.decompose import decompose, lengths_of, load, load_subject


def collect_with_models(plan: Plan) -> None:
    """Load the subject and the dictionary, and collect what is not collected yet."""
    subject = load_subject(plan)
    dictionary = decompose(plan, subject)
    with bar("collect", "tokens") as progress:
        found = method(plan).run(subject, dictionary, texts(plan), plan.place("collect"), progress, tell_sides)
    if found.left_out:
        tell(f"  {left_out_of(plan.activations)}")
    place = plan.place("collect")
    plan.part("collect", 0).write({}, beside=[place / "corpus", place / "activations"])


def method(plan: Plan) -> Collect:
    """Collecting as the experiment wants it."""
    asked = plan.experiment.collect
    return Collect(
        context_length=asked.context_length,
        max_tokens=asked.max_tokens or None,
        leave_out=asked.leave_out,
        massive=asked.massive,
    )


def reader_of(plan: Plan) -> Reading:
    """Reads new texts with the subject, the dictionary and the length of sequences that the run collected with."""
    subject = load_subject(plan)
    dictionary = load(plan, subject)
    room = plan.experiment.collect.context_length - (subject.start_token is not None)
    return Reading(method(plan).forward(subject, dictionary, lengths_of(plan)), dictionary, room)
