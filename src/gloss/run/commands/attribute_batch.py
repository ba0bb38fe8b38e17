"""Many questions with one loaded model: each has its record and its page, a table links them all.

Every answered question is a row in a file of its own, so that a batch that was killed goes on where
it was.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from gloss.attribute.players.prompt_file import PromptLine, UnusableLine, lines_sentence
from gloss.attribute.question import AttributionQuestion
from gloss.attribute.result.attribution_record import number_or_null
from gloss.attribute.result.interaction_terms import (
    InteractionTerm,
    average_title,
    player_terms,
    set_terms,
)
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.wording import amount_with_sign, distinct_player_names
from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.pages.number_format import format_decimal
from gloss.pages.report_sections import Cell, Grid, Link, ReportPage, Section
from gloss.pages.single_page import write_report_page
from gloss.records import Estimate
from gloss.run.commands.attribute import (
    AttributionSettings,
    attributor_settings,
    build_named_game,
    keep_attribution,
    open_reader,
    question_content_hashes,
    settle_for,
)
from gloss.run.keys import result_key
from gloss.run.methods import build_method
from gloss.run.progress import out
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer

if TYPE_CHECKING:
    from gloss.run.commands.attribute import PromptReader

SHOWN = 48  # characters of a prompt in the terminal
DASH = "–"  # for what there is none of
NO_NUMBER = (None, None, None)


@dataclass(frozen=True)
class AnsweredQuestion:
    """A row of the table; "" for what there is none of."""

    line: int
    prompt: str
    key: str = ""  # what the question and the settings are
    value: str = ""
    everything: float | None = None  # the value with everything kept
    player: str = ""  # the strongest, with what it does
    together: str = ""  # the strongest set of two and more
    r2: Sequence[float | None] = NO_NUMBER  # with the ends of its interval
    near: Sequence[float | None] = NO_NUMBER
    explained: bool = False
    record: str = ""  # names of files in the folder
    page: str = ""
    failed: str = ""  # the reason

    def in_words(self) -> str:
        """A line of the terminal."""
        said = " ".join(self.prompt.split())
        cut = said if len(said) <= SHOWN else f"{said[: SHOWN - 1]}…"
        if self.failed:
            return f"{self.line:>4}  {cut}: failed, {self.failed}"
        r2, near = (decimal_or_dash(each[0]) for each in (self.r2, self.near))
        trust = f"R2 {r2}{f', near the whole {near}' if near != DASH else ''}"
        verdict = "explained" if self.explained else "not explained"
        parts = [f"{self.value} {number_in_words(self.everything)}", self.player, self.together]
        parts += [trust, verdict]
        return f"{self.line:>4}  {cut}: {'; '.join(part for part in parts if part)}"


def report_batch(
    lines: Sequence[PromptLine],
    asked: dict[str, Any],
    options: AttributionSettings,
    *,
    wait: bool = False,
) -> None:
    """Ask one question a line; what a line does not say is as it is `asked` for all.

    A question that cannot be answered is a row with its reason. Raises BadInput where none can, and
    Busy, Unwritable and what concerns all questions alike.
    """
    batch = Batch.of(asked, options)
    rows: list[AnsweredQuestion] = []
    with sole_writer(options.folder, wait=wait, of=batch.name):
        for line in lines:
            rows.append(batch.answered(line))
            out.print(rows[-1].in_words(), highlight=False, markup=False, soft_wrap=True)
        failed = [UnusableLine(row.line, row.failed) for row in rows if row.failed]
        if len(failed) == len(rows):
            raise BadInput(f"no question could be answered: {lines_sentence(failed)}")
        asked_lines = result_key([asdict(line) for line in lines])
        page = options.folder / f"{batch.name}-{asked_lines}.html"
        write_report_page(page, batch_page(rows))
    explained = sum(row.explained for row in rows)
    out.print(
        f"{len(rows):,} questions: {explained:,} explained, {len(failed):,} failed; table in"
        f" {page.resolve().as_uri()}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


class Batch:
    """Questions that share all settings, and the model or endpoint, which is opened for the first
    that needs it.
    """

    def __init__(self, name: str, asked: dict[str, Any], options: AttributionSettings) -> None:
        self.name = name
        self.asked = asked
        self.options = replace(options, curves=False)
        self.attributor = build_method("attribute", attributor_settings(options))
        self.rows = options.folder / name  # a file for each answered question
        self.reader: PromptReader | None = None

    @staticmethod
    def of(asked: dict[str, Any], options: AttributionSettings) -> "Batch":
        """By its settings; other prompts go on with the same rows."""
        name = f"batch-{result_key(asked, options.recorded())}"
        return Batch(name, asked, options)

    def answered(self, line: PromptLine) -> AnsweredQuestion:
        """The row of a line: known, or found now and written down."""
        if line.problem:
            return AnsweredQuestion(line.line, line.prompt, failed=line.problem)
        try:
            question = self.question(line)
        except BadSettings as problem:
            return AnsweredQuestion(line.line, line.prompt, failed=str(problem))
        key = result_key(asdict(question), question_content_hashes(question))
        if row := self.row_of(key):
            return replace(row, line=line.line)
        # what is wrong with the model, and not with the question, ends the batch
        if self.reader is None:
            self.reader = open_reader(question, self.options.folder)
        try:
            row = self.attribute(question, key, line.line)
        except (BadInput, BadSettings, Mismatch) as problem:
            return AnsweredQuestion(line.line, line.prompt, failed=str(problem))
        write_bytes(self.rows / f"{key}.json", json.dumps(asdict(row), indent=1).encode())
        return row

    def question(self, line: PromptLine) -> AttributionQuestion:
        """The settled question of a line."""
        own = {"prompt": line.prompt, "answer": line.answer, "other": line.other}
        given: dict[str, Any] = self.asked | {name: text for name, text in own.items() if text}
        return settle_for(AttributionQuestion(**given), self.attributor, self.options.seed)

    def row_of(self, key: str) -> AnsweredQuestion | None:
        """The row that is known, where its record and its page are still there."""
        if not (kept := self.rows / f"{key}.json").exists():
            return None
        row = AnsweredQuestion(**json.loads(kept.read_text("utf-8")))
        places = [self.options.folder / name for name in (row.record, row.page)]
        return row if all(place.exists() for place in places) else None

    def attribute(self, question: AttributionQuestion, key: str, line: int) -> AnsweredQuestion:
        """Ask, and keep the record and the page."""
        named_game = build_named_game(question, self.options.folder, self.reader)
        kept = keep_attribution(question, named_game, self.attributor, self.options)
        found, trust = kept.found, kept.found.faithfulness
        return AnsweredQuestion(
            line,
            question.prompt,
            key,
            named_game.value,
            number_or_null(found.measured.everybody) if found.measured else None,
            *strongest_in_words(found),
            numbers_of(trust.r2),
            numbers_of(trust.near),
            trust.explained,
            kept.record.name,
            kept.page.name,
        )


def strongest_in_words(found: Interactions) -> tuple[str, str]:
    """The strongest player and the strongest set, each with what it does."""
    by = average_title(found).replace("on average", "").strip()
    names = distinct_player_names(found.players)

    def said(term: InteractionTerm) -> str:
        players = " + ".join(names[player] for player in term.players)
        kind = [str(term.kind)] if term.kind else []
        more = ", ".join([*([by] if by else []), *kind])
        return f"{players} {amount_with_sign(term.average)}{f' ({more})' if more else ''}"

    first = player_terms(found)[:1], set_terms(found)[:1]
    player, together = (said(terms[0]) if terms else "" for terms in first)
    return player, together


def numbers_of(found: Estimate) -> tuple[float | None, float | None, float | None]:
    """A number and the ends of its interval, as JSON holds them."""
    value, low, high = map(number_or_null, (found.value, found.low, found.high))
    return value, low, high


def number_in_words(value: float | None) -> str:
    """Three figures, or a dash."""
    return DASH if value is None else f"{value:.3g}".replace("-", "−")


def decimal_or_dash(value: float | None) -> str:
    """Two decimals, or a dash."""
    return DASH if value is None else format_decimal(value)


def batch_page(rows: Sequence[AnsweredQuestion]) -> ReportPage:
    """The table of all questions."""
    columns = (
        *("line", "prompt", "value", "with everything", "strongest player", "strongest set"),
        *("R2, half kept", "R2, near the whole", "explained"),
    )
    answered = [row for row in rows if not row.failed]
    explained = sum(row.explained for row in answered)
    failed = tuple((str(row.line), row.prompt, row.failed) for row in rows if row.failed)
    sections = [
        Section(
            "Questions",
            "Each prompt leads to its own page. Players do what is told on average, while half of"
            " the others are kept.",
            (Grid(columns, tuple(batch_cells(row) for row in answered)),),
        )
    ]
    if failed:
        lead = "These could not be asked, or not be answered."
        grid = Grid(("line", "prompt", "reason"), failed)
        sections.append(Section("Failed", lead, (grid,)))
    return ReportPage(
        f"{len(rows):,} questions",
        f"{explained:,} of {len(answered):,} answers are explained; {len(failed):,} questions"
        " failed.",
        tuple(sections),
    )


def batch_cells(row: AnsweredQuestion) -> tuple[Cell, ...]:
    """A row of the page."""
    return (
        str(row.line),
        Link(" ".join(row.prompt.split()), row.page),
        row.value,
        number_in_words(row.everything),
        row.player,
        row.together or DASH,
        r2_cell(row.r2),
        r2_cell(row.near),
        "yes" if row.explained else "no",
    )


def r2_cell(numbers: Sequence[float | None]) -> str:
    """R2 with its interval."""
    value, low, high = numbers
    if value is None:
        return DASH
    if low is None or high is None or low == high:
        return format_decimal(value)
    return f"{format_decimal(value)} [{format_decimal(low)}, {format_decimal(high)}]"
