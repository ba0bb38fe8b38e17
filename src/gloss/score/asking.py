"""Asks a judge yes or no about contexts, many at a time; what it leaves out is asked for once more, and then it is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gloss.errors import BadSettings
from gloss.models.prompts import Answer, Conversation, Message, Prompt, list_schema, numbered_schema
from gloss.records import Reason, Verdict
from gloss.score.answers import Places, mentioned, read, yes_or_no
from gloss.score.probabilities import probability
from gloss.score.stopping import more

MOST = 25  # contexts in a request, where neither a setting nor a measurement says another number
TOKENS_AN_ANSWER = 8  # with its number, in JSON
TOKENS_AROUND = 60
TOKENS_OF_ONE = 12  # yes or no comes first, and what a judge would say behind it need not be paid for


class Form(StrEnum):
    """The form that a question has, and so its answer."""

    AUTO = "auto"  # single for one context a request, otherwise numbered; a run measures it, or takes what the server is best at
    NUMBERED = "numbered"  # {"1": 0, "2": 1}
    LIST = "list"  # {"answers": [0, 1]}
    SINGLE = "single"  # Yes or No


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be judged: where its context starts, whether yes is right, and the text that the judge reads."""

    context: int
    truth: bool
    text: str


@dataclass(frozen=True, slots=True)
class Asking:
    """How a judge is asked. Raises BadSettings, in the method's name, for what cannot be."""

    method: str
    contexts_per_question: int  # 0: as many as are known to be good
    form: str
    alternatives: int  # of each answer's tokens, with their log-probabilities
    precision: float  # half the width of the interval of balanced accuracy at which asking ends; 0 asks about everything

    def __post_init__(self) -> None:
        if self.contexts_per_question < 0 or not 0 <= self.alternatives <= 20 or not 0 <= self.precision < 0.5:
            raise BadSettings(
                f"{self.method} was given contexts_per_question={self.contexts_per_question}, wants at least 1, or 0 to have it "
                f"measured; alternatives={self.alternatives}, wants 0 to 20; precision={self.precision}, wants 0 to below 0.5"
            )
        if self.form not in tuple(Form):
            raise BadSettings(f"{self.method} was given form={self.form!r}, wants {', '.join(Form)}")
        if self.form == Form.SINGLE and self.contexts_per_question > 1:
            raise BadSettings(
                f'{self.method} was given form="single" and contexts_per_question={self.contexts_per_question}, '
                "but a single question holds one context; set contexts_per_question = 1"
            )

    @property
    def most(self) -> int:
        """Contexts in a request at most."""
        return 1 if self.form == Form.SINGLE else self.contexts_per_question or MOST

    @property
    def used(self) -> Form:
        """The form that is used."""
        return Form(self.form) if self.form != Form.AUTO else Form.SINGLE if self.most == 1 else Form.NUMBERED


@dataclass(frozen=True, slots=True)
class Said:
    """The verdicts on all items that were asked about, and how many requests were spared."""

    verdicts: tuple[Verdict, ...]
    spared: int


Fill = Callable[[list[str], Form, bool], tuple[Message, ...]]
"""Makes the turns of a question from its contexts, its form, and whether it is asked once more."""


def judge(items: Sequence[Item], fill: Fill, asking: Asking, rng: np.random.Generator) -> Conversation[Said]:
    """Ask for verdicts in random order, in questions of nearly equal size, until the `precision` is reached.

    Without one, all is asked in one round. Contexts of a question that the answer leaves out, or leaves in doubt, are asked
    about once more, by number.
    """
    shuffled = [items[row] for row in rng.permutation(len(items))]
    questions = np.array_split(np.arange(len(items)), -(-len(items) // asking.most))
    groups = [[shuffled[row] for row in rows] for rows in questions]
    verdicts: list[Verdict] = []
    asked = again = 0
    while number := more(verdicts, asked, len(groups) - asked, asking.most, asking.precision):
        round_of = groups[asked : asked + number]
        answers = yield [prompt(group, fill, asking, asking.used) for group in round_of]
        found = [
            verdicts_of(group, answer, asked + row) for row, (group, answer) in enumerate(zip(round_of, answers, strict=True))
        ]
        left = [
            [place for place, one in enumerate(said) if one.answer is None and answer.text is not None]
            for said, answer in zip(found, answers, strict=True)
        ]
        if any(left):
            by_number = Form.SINGLE if asking.used == Form.SINGLE else Form.NUMBERED
            missing = [(row, places) for row, places in enumerate(left) if places]
            groups_ = [[round_of[row][place] for place in places] for row, places in missing]
            answers = yield [prompt(group, fill, asking, by_number, again=True) for group in groups_]
            for (row, places), group, answer in zip(missing, groups_, answers, strict=True):
                again += 1
                second = verdicts_of(group, answer, len(groups) + again - 1)
                for place, verdict in zip(places, second, strict=True):
                    found[row][place] = verdict
        verdicts += [verdict for said in found for verdict in said]
        asked += number
    return Said(tuple(verdicts), len(groups) - asked)


def prompt(group: Sequence[Item], fill: Fill, asking: Asking, form: Form, *, again: bool = False) -> Prompt:
    """A question about these items."""
    number = len(group)
    schemas = {Form.LIST: list_schema(number, (0, 1)), Form.NUMBERED: numbered_schema(number, (0, 1))}
    return Prompt(
        fill([item.text for item in group], form, again),
        max_tokens=TOKENS_OF_ONE if form == Form.SINGLE else TOKENS_AROUND + TOKENS_AN_ANSWER * number,
        top_logprobs=asking.alternatives,
        schema=schemas.get(form),
        cut_short=form == Form.SINGLE,
        reads=lambda text: read(text, number, yes_or_no, counts=True) or (None if again else mentioned(text, yes_or_no)),
    )


def verdicts_of(group: Sequence[Item], answer: Answer, question: int | None = None) -> list[Verdict]:
    """A verdict for each item of a question; those whose answer cannot be had or read carry the reason."""
    said: Places[bool] = {} if answer.text is None else read(answer.text, len(group), yes_or_no, counts=True)
    reason = answer.reason or Reason.UNPARSABLE
    found: list[Verdict] = []
    for place, item in enumerate(group):
        yes, at = said.get(place, (None, 0))
        likely = None if yes is None else probability(answer, at)
        found.append(Verdict(item.context, item.truth, yes, reason if yes is None else None, likely, question, place))
    if any(verdict.probability is None for verdict in found if verdict.answer is not None):
        found = [replace(verdict, probability=None) for verdict in found]  # what cannot be told of all is told of none
    return found


def parse(text: str, wanted: int) -> list[bool] | None:
    """Yes or no on so many contexts, as a person would read the answer; None unless there is one on each of them."""
    said = read(text, wanted, yes_or_no, counts=True)
    return [said[place][0] for place in range(wanted)] if len(said) == wanted else None
