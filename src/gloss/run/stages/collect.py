"""Stage `collect`: the subject reads the texts once, and every feature's activations are kept."""

from gloss.collect.collect import Collect
from gloss.collect.subject_reader import SubjectReader
from gloss.run.corpus_texts import open_run_texts, print_split_sizes
from gloss.run.plan import Plan
from gloss.run.progress import print_notes, progress_bar
from gloss.run.reporting.setup import left_out_summary
from gloss.run.stages.decompose import (
    collected_lengths,
    load_or_train_dictionary,
    load_run_dictionary,
    load_run_subject,
)


def collect_activations(plan: Plan) -> None:
    """Load the subject and the dictionary, and collect what is not collected yet."""
    subject = load_run_subject(plan)
    dictionary = load_or_train_dictionary(plan, subject)
    with progress_bar("collect", "tokens") as progress:
        found = build_collector(plan).run(
            subject,
            dictionary,
            open_run_texts(plan),
            plan.place("collect"),
            progress,
            print_split_sizes,
        )
    if found.left_out:
        print_notes(f"  {left_out_summary(plan.activations)}")
    folder = plan.place("collect")
    plan.part("collect", 0).write({}, beside=[folder / "corpus", folder / "activations"])


def build_collector(plan: Plan) -> Collect:
    """Collecting as the experiment wants it."""
    asked = plan.experiment.collect
    return Collect(
        context_length=asked.context_length,
        max_tokens=asked.max_tokens or None,
        leave_out=asked.leave_out,
        massive=asked.massive,
    )


def open_text_reader(plan: Plan) -> SubjectReader:
    """Reads new texts with the subject, the dictionary and the length of sequences that the run
    collected with.
    """
    subject = load_run_subject(plan)
    dictionary = load_run_dictionary(plan, subject)
    room = plan.experiment.collect.context_length - (subject.start_token is not None)
    return SubjectReader(
        build_collector(plan).forward(subject, dictionary, collected_lengths(plan)),
        dictionary,
        room,
    )
