"""What several finished runs have collected, as the collect of a run of its own."""

from pathlib import Path

from gloss.errors import BadInput, BadSettings
from gloss.run.corpus_texts import print_split_sizes
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run
from gloss.run.progress import print_notes


def require_mergeable(run: OpenedRun) -> None:
    """Refuse a merge of what is not there, before anything is loaded. Raises BadSettings and
    BadInput.
    """
    if "method" in run.experiment.decompose:
        raise BadSettings(
            "[collect] merge goes with the dictionary that the runs have in common; give it as"
            " [decompose] dictionary, and leave method out"
        )
    for name in run.experiment.collect.merge:
        found = read_run(Path(name))
        if found.experiment.collect.merge:
            raise BadSettings(
                f"[collect] merge names {name}, which is a merge itself; name the runs that it was"
                f" merged from: {', '.join(found.experiment.collect.merge)}"
            )
        if not found.part("collect", 0).is_done:
            raise BadInput(
                f"[collect] merge names {name}, which has not collected yet; run its experiment"
                " first"
            )


def merge_finished(run: OpenedRun) -> None:
    """Put together what the runs that [collect] merge names have collected.

    Raises Mismatch, naming what differs, where these were not collected alike, or not as this
    experiment says.
    """
    from gloss.collect.collect import hashes_of_models
    from gloss.collect.merged_runs import following_each_other, merge_collects, require_one_way
    from gloss.models.content_hash import content_hash
    from gloss.run.run_dictionary import build_collector, load_or_train_dictionary, load_run_subject

    subject = load_run_subject(run)
    dictionary = load_or_train_dictionary(run, subject)
    names, asked = run.experiment.collect.merge, build_collector(run)
    runs = following_each_other([(name, read_run(Path(name)).place("collect")) for name in names])
    own = {
        **hashes_of_models(subject),
        "dictionary": content_hash(dictionary),
        "settings": asked.settings,
        "left_out": asked.tokens(subject),
        "site": str(dictionary.reads),
    }
    require_one_way([("this experiment", own), (runs[0].name, runs[0].made_from)])
    folder = run.place("collect")
    found = merge_collects(runs, subject, folder)
    print_split_sizes(folder / "corpus")
    if found.copies:
        print_notes(
            f"  {found.copies:,} of {found.documents:,} documents stand in several runs word for"
            " word; each counts as often as it stands there"
        )
    if found.moved:
        print_notes(
            f"  {found.moved:,} of {found.documents:,} documents have a near copy in another run"
            " on the other side of the split: they are counted, and nothing of them is kept"
        )
