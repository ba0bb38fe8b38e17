"""Asks a judge yes or no about contexts, many at a time.

What it leaves out is asked for once more, and then it is missing.

Asking ends at a sequential interval of fixed width (Chow and Robbins, 1965): after each round the
half width of the 95 % interval of balanced accuracy is worked out under Jeffreys' prior, and asking
ends when it is small enough. The prior's half an answer on either side keeps a first round without
an error from looking certain, which is what ruins the coverage of the plain rule (Frey, 2010);
`docs/score.md` states the coverage that was measured.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import (
    Answer,
    Conversation,
    Message,
    Prompt,
    list_schema,
    numbered_schema,
)
from gloss.records import Reason, Verdict
from gloss.score.judge.answer_parsing import (
    AnswersByItem,
    TokenPlaces,
    first_answer_word,
    keep_read_logprobs,
    parse_answers,
    yes_or_no,
)
from gloss.statistics.intervals import NORMAL_QUANTILE

# contexts in a request, where neither a setting nor a measurement says another number
MOST_CONTEXTS = 25
TOKENS_AN_ANSWER = 8  # with its number, in JSON
TOKENS_AROUND = 60
# yes or no comes first, and what a judge would say behind it need not be paid for
TOKENS_OF_ONE = 12
FIRST_ROUND = 40  # contexts at least: looked at earlier, intervals end too soon
# of the questions that seem to be missing are asked in the next round, because the estimate may be
# off
CAUTION = 0.8


class QuestionForm(StrEnum):
    """The form that a question has, and so its answer."""

    # single for one context a request, otherwise numbered; a run measures it, or takes what the
    # server is best at
    AUTO = "auto"
    NUMBERED = "numbered"  # {"1": 0, "2": 1}
    LIST = "list"  # {"answers": [0, 1]}
    SINGLE = "single"  # Yes or No


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """One thing to be judged: where its context starts, whether yes is right, and the text that the
    judge reads.
    """

    context: int
    truth: bool
    text: str


@dataclass(frozen=True, slots=True)
class QuestionSettings:
    """How a judge is asked. Raises BadSettings, in the method's name, for what cannot be."""

    method: str
    contexts_per_question: int  # 0: as many as are known to be good
    form: str
    alternatives: int  # of each answer's tokens, with their log-probabilities
    # half the width of the interval of balanced accuracy at which asking ends; 0 asks about
    # everything
    precision: float

    def __post_init__(self) -> None:
        if (
            self.contexts_per_question < 0
            or not 0 <= self.alternatives <= 20
            or not 0 <= self.precision < 0.5
        ):
            raise BadSettings(
                f"{self.method} was given contexts_per_question={self.contexts_per_question}, wants"
                f" at least 1, or 0 to have it measured; alternatives={self.alternatives}, wants 0"
                f" to 20; precision={self.precision}, wants 0 to below 0.5"
            )
        if self.form not in tuple(QuestionForm):
            raise BadSettings(
                f"{self.method} was given form={self.form!r}, wants {', '.join(QuestionForm)}"
            )
        if self.form == QuestionForm.SINGLE and self.contexts_per_question > 1:
            raise BadSettings(
                f'{self.method} was given form="single" and'
                f" contexts_per_question={self.contexts_per_question}, but a single question holds"
                " one context; set contexts_per_question = 1"
            )

    @property
    def most_contexts(self) -> int:
        """Contexts in a request at most."""
        return (
            1 if self.form == QuestionForm.SINGLE else self.contexts_per_question or MOST_CONTEXTS
        )

    @property
    def form_used(self) -> QuestionForm:
        """The form that is used."""
        return (
            QuestionForm(self.form)
            if self.form != QuestionForm.AUTO
            else QuestionForm.SINGLE
            if self.most_contexts == 1
            else QuestionForm.NUMBERED
        )


@dataclass(frozen=True, slots=True)
class JudgeVerdicts:
    """The verdicts on all items that were asked about, and how many requests were spared."""

    verdicts: tuple[Verdict, ...]
    spared: int


FillQuestion = Callable[[list[str], QuestionForm, bool], tuple[Message, ...]]
"""Makes the turns of a question from its contexts, its form, and whether it is asked once more."""


def ask_judge(
    items: Sequence[JudgedItem],
    fill: FillQuestion,
    question_settings: QuestionSettings,
    rng: np.random.Generator,
) -> Conversation[JudgeVerdicts]:
    """Ask for verdicts in random order, in questions of nearly equal size, until the `precision` is
    reached.

    Without one, all is asked in one round. Contexts of a question that the answer leaves out, or
    leaves in doubt, are asked about once more, by number.
    """
    shuffled = [items[row] for row in rng.permutation(len(items))]
    questions = np.array_split(
        np.arange(len(items)), -(-len(items) // question_settings.most_contexts)
    )
    groups = [[shuffled[row] for row in rows] for rows in questions]
    verdicts: list[Verdict] = []
    asked = again = 0
    while number := count_next_questions(
        verdicts,
        asked,
        len(groups) - asked,
        question_settings.most_contexts,
        question_settings.precision,
    ):
        round_of = groups[asked : asked + number]
        answers = yield [
            question_prompt(group, fill, question_settings, question_settings.form_used)
            for group in round_of
        ]
        found = [
            question_verdicts(group, answer, asked + row)
            for row, (group, answer) in enumerate(zip(round_of, answers, strict=True))
        ]
        left = [
            [
                position
                for position, one in enumerate(said)
                if one.answer is None and answer.text is not None
            ]
            for said, answer in zip(found, answers, strict=True)
        ]
        if any(left):
            by_number = (
                QuestionForm.SINGLE
                if question_settings.form_used == QuestionForm.SINGLE
                else QuestionForm.NUMBERED
            )
            missing = [(row, places) for row, places in enumerate(left) if places]
            groups_ = [[round_of[row][position] for position in places] for row, places in missing]
            answers = yield [
                question_prompt(group, fill, question_settings, by_number, again=True)
                for group in groups_
            ]
            for (row, places), group, answer in zip(missing, groups_, answers, strict=True):
                again += 1
                second = question_verdicts(group, answer, len(groups) + again - 1)
                for position, verdict in zip(places, second, strict=True):
                    found[row][position] = verdict
        verdicts += [verdict for said in found for verdict in said]
        asked += number
    return JudgeVerdicts(tuple(verdicts), len(groups) - asked)


def question_prompt(
    group: Sequence[JudgedItem],
    fill: FillQuestion,
    question_settings: QuestionSettings,
    form: QuestionForm,
    *,
    again: bool = False,
) -> Prompt:
    """A question about these items."""
    number = len(group)
    schemas = {
        QuestionForm.LIST: list_schema(number, (0, 1)),
        QuestionForm.NUMBERED: numbered_schema(number, (0, 1)),
    }
    return Prompt(
        fill([item.text for item in group], form, again),
        max_tokens=(
            TOKENS_OF_ONE
            if form == QuestionForm.SINGLE
            else TOKENS_AROUND + TOKENS_AN_ANSWER * number
        ),
        top_logprobs=question_settings.alternatives,
        schema=schemas.get(form),
        cut_short=form == QuestionForm.SINGLE,
        reads=lambda text: (
            read_judgement(text, number) or (None if again else first_answer_word(text, yes_or_no))
        ),
        condense=partial(condense_judgement, number=number),
    )


@lru_cache(512)  # read as soon as it comes, and again when the question's round is over
def read_judgement(text: str, number: int) -> AnswersByItem[bool]:
    """What a judge said of each of so many items. It is shared: nobody changes it."""
    return parse_answers(text, number, yes_or_no, counts=True)


def condense_judgement(answer: Answer, number: int) -> Answer:
    """The answer with the log-probabilities of its yeses and noes alone."""
    if answer.text is None or not answer.logprobs:
        return answer
    return keep_read_logprobs(
        answer, [at for _, at in read_judgement(answer.text, number).values()]
    )


def question_verdicts(
    group: Sequence[JudgedItem], answer: Answer, question: int | None = None
) -> list[Verdict]:
    """A verdict for each item of a question.

    Those whose answer cannot be had or read carry the reason.
    """
    said: AnswersByItem[bool] = (
        {} if answer.text is None else read_judgement(answer.text, len(group))
    )
    places = TokenPlaces.of(answer)
    reason = answer.reason or Reason.UNPARSABLE
    found: list[Verdict] = []
    for position, item in enumerate(group):
        yes, at = said.get(position, (None, 0))
        likely = None if yes is None or places is None else places.yes_probability(at)
        found.append(
            Verdict(
                item.context,
                item.truth,
                yes,
                reason if yes is None else None,
                likely,
                question,
                position,
            )
        )
    if any(verdict.probability is None for verdict in found if verdict.answer is not None):
        # what cannot be known of all is kept of none
        found = [replace(verdict, probability=None) for verdict in found]
    return found


def count_next_questions(
    verdicts: Sequence[Verdict], asked: int, left: int, contexts_per_question: int, precision: float
) -> int:
    """How many of the questions that are `left` to ask next; 0 where it is enough.

    All where no `precision` is wanted.
    """
    if precision == 0:
        return left
    if asked == 0:
        return min(left, -(-FIRST_ROUND // contexts_per_question))
    wide = accuracy_half_width(verdicts)
    if wide <= precision:
        return 0
    missing = asked * ((wide / precision) ** 2 - 1)
    return min(left, max(1, math.floor(CAUTION * missing)))


def accuracy_half_width(verdicts: Sequence[Verdict]) -> float:
    """Of the interval of balanced accuracy; a missing answer is wrong."""
    variance = 0.0
    for truth in (True, False):
        side = [verdict.answer is truth for verdict in verdicts if verdict.truth is truth]
        right, wrong = sum(side) + 0.5, len(side) - sum(side) + 0.5
        variance += right * wrong / ((right + wrong) ** 2 * (right + wrong + 1))
    return NORMAL_QUANTILE * math.sqrt(variance) / 2
