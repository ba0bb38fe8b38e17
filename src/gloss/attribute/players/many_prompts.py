"""The game that a question about many prompts means: the mean of what is read of each.

Parts of the model are ablated on all of them, or positions carry what stands there in each prompt's
corrupted twin.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from jaxtyping import Int64
from torch import Tensor

from gloss.attribute.measures import (
    Answers,
    FeatureActivation,
    KlFromClean,
    LogitDifference,
    LogProbability,
    Measure,
    pad_token_rows,
)
from gloss.attribute.players.first_position import front_note
from gloss.attribute.players.model_components import Ablation, AblationGame
from gloss.attribute.players.position_game import PositionGame
from gloss.attribute.players.prompt_file import (
    PromptLine,
    UnusableLine,
    lines_sentence,
    none_usable,
)
from gloss.attribute.players.prompt_parts import PromptUnit
from gloss.attribute.players.subject_games import (
    LoadDictionary,
    answer_tokens,
    load_one_feature,
    named_components,
    refuse_silent_feature,
)
from gloss.attribute.prompt_average import AverageGame
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.values import AttributedValue
from gloss.errors import BadInput
from gloss.models.subject import Subject
from gloss.records import PADDING


@dataclass(frozen=True)
class TokenPrompts:
    """Prompts that can be used, as tokens behind the front token, with PADDING behind."""

    lines: tuple[PromptLine, ...]
    tokens: Int64[Tensor, "prompt position"]
    twins: Int64[Tensor, "prompt position"] | None
    answers: Answers  # of each prompt; none where nothing is said
    others: Answers
    left_out: tuple[UnusableLine, ...]

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.lines)


@dataclass
class PromptSelection:
    """Turns lines into tokens; those that cannot be used are left out, with the reason."""

    subject: Subject
    kind: AttributedValue
    paired: bool  # each prompt needs a twin of as many tokens
    left_out: list[UnusableLine] = field(default_factory=list)

    def tokens_of(
        self, lines: Sequence[PromptLine], alike: bool = False, where: str = "--prompts"
    ) -> TokenPrompts:
        """Those that can be used; with `alike` all of one length, the most frequent.

        Raises BadInput where none can.
        """
        found = [one for line in lines if (one := self.line(line))]
        if alike and found:
            length = Counter(len(one.tokens) for one in found).most_common(1)[0][0]
            for one in found:
                if len(one.tokens) != length:
                    said = f"it has {len(one.tokens) - 1} tokens, and most others {length - 1}"
                    self.left_out.append(UnusableLine(one.line.line, said))
            found = [one for one in found if len(one.tokens) == length]
        self.left_out.sort(key=lambda one: one.line)
        if not found:
            raise none_usable(where, self.left_out)
        twins = pad_token_rows([one.twin for one in found]) if self.paired else None
        return TokenPrompts(
            tuple(one.line for one in found),
            pad_token_rows([one.tokens for one in found]),
            twins,
            tuple(one.answer for one in found),
            tuple(one.other for one in found),
            tuple(self.left_out),
        )

    def line(self, line: PromptLine) -> "TokenLine | None":
        """One line; None where it cannot be used."""
        if line.problem:
            self.left_out.append(UnusableLine(line.line, line.problem))
            return None
        front, encode = self.subject.front_token, self.subject.encode
        tokens = [front, *encode(line.prompt)]
        twin = [front, *encode(line.corrupted)] if self.paired and line.corrupted else []
        try:
            answer, other = (
                answer_tokens(self.subject, text, line.prompt) if text else ()
                for text in (line.answer, line.other)
            )
        except BadInput as problem:
            self.left_out.append(UnusableLine(line.line, str(problem)))
            return None
        found = TokenLine(line, tokens, twin, answer, other)
        if reason := self.wrong_with(found):
            self.left_out.append(UnusableLine(line.line, reason))
            return None
        return found

    def wrong_with(self, one: "TokenLine") -> str:
        """Why a line cannot be used; "" where it can."""
        if self.kind is AttributedValue.DIFFERENCE:
            if not (one.answer and one.other):
                missing = "other" if one.answer else "answer"
                return f'a difference needs "answer" and "other", and it has no "{missing}"'
            if one.answer == one.other:
                return "its two answers are the same tokens"
        if self.paired and not one.twin:
            return 'it has no "corrupted"'
        if self.paired and len(one.twin) != len(one.tokens):
            return (
                f"its prompt has {len(one.tokens) - 1} tokens and its corrupted twin"
                f" {len(one.twin) - 1}, which must be as many"
            )
        return ""


@dataclass(frozen=True)
class TokenLine:
    """A line as tokens."""

    line: PromptLine
    tokens: list[int]
    twin: list[int]
    answer: tuple[int, ...]
    other: tuple[int, ...]


def build_prompts_game(
    question: AttributionQuestion, subject: Subject, load: LoadDictionary
) -> NamedGame:
    """The game of a settled question about several prompts. `load` gives a dictionary by its name.

    Raises BadInput where no prompt can be used, and as `build_subject_game`.
    """
    positions = question.unit == PromptUnit.POSITIONS
    patched = question.removal == Ablation.PATCH
    selection = PromptSelection(subject, question.kind, patched)
    prompts = selection.tokens_of(with_common_answers(question), alike=positions)
    measure, value = prompts_measure(question, subject, prompts, load)
    if positions and prompts.twins is not None:
        game = PositionGame(subject, prompts.tokens, prompts.twins, measure)
        how = "positions carry the token of each prompt's corrupted twin"
    else:
        components, ablation = named_components(question, subject, load), Ablation(question.removal)
        game = AblationGame(subject, components, prompts.tokens, measure, ablation, prompts.twins)
        how = f"{question.players_kind} are ablated {ablated_to(ablation, prompts)}"
    right = question.kind is AttributedValue.DIFFERENCE
    average = AverageGame(game, prompts.number, right)
    if question.kind is AttributedValue.ACTIVATION:
        refuse_silent_feature(average, value)
    notes = (front_note(subject), prompts_note(prompts))
    return NamedGame(average, value, reading=how, notes=tuple(note for note in notes if note))


def with_common_answers(question: AttributionQuestion) -> list[PromptLine]:
    """Its prompts, with the answers given for all where a line brings none."""
    return [
        replace(line, answer=line.answer or question.answer, other=line.other or question.other)
        for line in question.prompts
    ]


def prompts_note(prompts: TokenPrompts) -> str:
    """How many prompts are used, and which are not."""
    many = prompts.number != 1
    used = f"{prompts.number:,} prompt{'s are' if many else ' is'} used"
    if not prompts.left_out:
        return f"{used}."
    return f"{used}, {len(prompts.left_out):,} left out ({lines_sentence(prompts.left_out)})."


def ablated_to(ablation: Ablation, prompts: TokenPrompts) -> str:
    """What components become."""
    match ablation:
        case Ablation.ZERO:
            return "to zero"
        case Ablation.MEAN:
            positions = int((prompts.tokens[:, 1:] != PADDING).sum())
            return f"to their mean over the {positions:,} positions of the prompts"
        case Ablation.RESAMPLE:
            return "to what they give for the prompt before, the first for the last"
        case Ablation.PATCH:
            return "to what they give for each prompt's corrupted twin at the same position"


def prompts_measure(
    question: AttributionQuestion, subject: Subject, prompts: TokenPrompts, load: LoadDictionary
) -> tuple[Measure, str]:
    """What is read of each prompt, and what its mean is called."""
    mean = f"(mean over {prompts.number:,} prompts)" if prompts.number > 1 else "(one prompt)"
    match question.kind:
        case AttributedValue.ACTIVATION:
            dictionary, index = load_one_feature(question.feature, subject, load)
            return FeatureActivation(dictionary, index), f"activation of feature {index} {mean}"
        case AttributedValue.KL:
            measure = KlFromClean.of_prompts(subject, prompts.tokens)
            return measure, f"KL from the clean prediction, in nats {mean}"
        case AttributedValue.DIFFERENCE:
            said = answers_in_words(subject, prompts.answers, "the answer")
            other = answers_in_words(subject, prompts.others, "the other")
            measure = LogitDifference(prompts.answers, prompts.others)
            return measure, f"how much likelier {said} is than {other}, in nats {mean}"
        case kind:
            answers = likeliest_where_missing(subject, prompts)
            said = answers_in_words(subject, answers, "the answer")
            odds = kind is AttributedValue.LOG_ODDS
            name = "log-odds of" if odds else "log-probability of"
            return LogProbability(answers, odds=odds), f"{name} {said}, in nats {mean}"


def likeliest_where_missing(subject: Subject, prompts: TokenPrompts) -> Answers:
    """Each prompt's answer, or the model's own likeliest token."""
    if all(prompts.answers):
        return prompts.answers
    own = subject.next_logits(prompts.tokens).argmax(1).tolist()
    return tuple(said or (token,) for said, token in zip(prompts.answers, own, strict=True))


def answers_in_words(subject: Subject, answers: Answers, otherwise: str) -> str:
    """The answer that all prompts share, or what it is called."""
    if len(set(answers)) == 1:
        return repr(subject.vocabulary().text(answers[0]))
    return otherwise
