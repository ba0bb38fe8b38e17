"""The texts of an experiment, opened."""

from functools import lru_cache, partial
from pathlib import Path

from gloss.collect.dialogues import Spoken, Template
from gloss.collect.sides import Sides
from gloss.collect.texts import Texts, open_texts
from gloss.run.experiment import EMBEDDED, SubjectSettings
from gloss.run.plan import Plan, embedded
from gloss.run.progress import tell


def texts(plan: Plan) -> Texts:
    """What the experiment's [collect] names. Raises BadInput for what does not exist."""
    asked = plan.experiment.collect
    return spoken(open_texts(asked.texts, asked.column, asked.split), plan.experiment.subject)


def spoken(texts: Texts, asked: SubjectSettings) -> Texts:
    """The same with dialogues put as text by the subject's chat template, which is looked for when one comes."""
    return Spoken(texts, partial(template_of, asked))


@lru_cache(maxsize=1)
def template_of(asked: SubjectSettings) -> Template | None:
    """How the subject's chats are put as text; None where its tokenizer does not say."""
    from gloss.models.loading import load_chat_template

    source = embedded("subject") if asked.model == EMBEDDED else asked.model
    return load_chat_template(source, asked.revision or None, to_answer=False)


def tell_sides(corpus: Path) -> None:
    """Say how many documents are shown and held out. Raises BadInput where a side has none."""
    sides = Sides.of(corpus)
    sides.require_both()
    tell(f"  {sides}")
