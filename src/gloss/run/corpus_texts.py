"""The texts of an experiment, opened."""

from functools import lru_cache, partial
from pathlib import Path

from gloss.collect.split_counts import SplitCounts
from gloss.collect.texts import DialogueTemplate, TemplatedTexts, Texts, open_texts
from gloss.models.bundled import model_place
from gloss.run.experiment import SubjectSettings
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import print_notes


def open_run_texts(run: OpenedRun) -> Texts:
    """What the experiment's [collect] names. Raises BadInput for what does not exist."""
    asked = run.experiment.collect
    return with_chat_template(
        open_texts(asked.texts, asked.column, asked.split), run.experiment.subject
    )


def with_chat_template(texts: Texts, asked: SubjectSettings) -> Texts:
    """The same with dialogues put as text by the subject's chat template, which is looked for when
    one comes.
    """
    return TemplatedTexts(texts, partial(subject_chat_template, asked))


@lru_cache(maxsize=1)
def subject_chat_template(asked: SubjectSettings) -> DialogueTemplate | None:
    """How the subject's chats are put as text; None where its tokenizer does not say."""
    from gloss.models.pretrained.loading import load_chat_template

    return load_chat_template(model_place(asked.model), asked.revision or None, to_answer=False)


def print_split_sizes(corpus: Path) -> None:
    """Print how many documents each side of the split has. Raises BadInput where one has none."""
    sides = SplitCounts.of(corpus)
    sides.require_both()
    print_notes(f"  {sides}")
