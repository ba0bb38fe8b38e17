"""Behind `gloss judge`: how good a judge is, asked of labelled texts before a run is paid for."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prices import Usage
from gloss.pages.report_sections import Facts, Grid, Section
from gloss.run.chat_capabilities import chat_model
from gloss.run.chat_tables import ChatTable
from gloss.run.progress import out, print_notes
from gloss.run.reporting.report import print_section
from gloss.score.judge.labelled_texts import JudgeQuality, judge_questions, read_labelled_texts
from gloss.score.judge.position_bias import is_noticeable
from gloss.store.atomic import write_bytes
from gloss.store.sealed_json import seal_json


@dataclass(frozen=True, slots=True)
class JudgeTrial:
    """What a command line asks of a judge."""

    texts: Path
    chat: Mapping[str, Any] = field(default_factory=dict[str, Any])  # the table [chat]
    contexts: int = 0  # a request; 0: 25
    limit: int = 0  # labelled texts that are asked about, drawn at random; 0: all
    out: Path = Path("runs/judge")
    seed: int = 0


def try_judge(asked: JudgeTrial) -> JudgeQuality:
    """Ask the judge about every labelled text, and print how good it is; answers are kept, so that
    nothing is asked twice.

    Raises BadSettings where no judge is named.
    """
    if not asked.chat:
        raise BadSettings("no judge is named; give --chat-url and --chat-model, or --local")
    texts, skipped = read_labelled_texts(asked.texts)
    if skipped:
        print_notes(f"{skipped:,} rows passed over: no explanation, text or label")
    rng = np.random.default_rng([asked.seed, *b"judge"])
    if 0 < asked.limit < len(texts):
        texts = [texts[row] for row in np.sort(rng.permutation(len(texts))[: asked.limit])]
    questions, usage = judge_questions(texts), Usage()

    def count(latest: Usage) -> None:
        nonlocal usage
        usage = latest

    asked.out.mkdir(parents=True, exist_ok=True)
    chat = chat_model(ChatTable("", asked.chat))
    alternatives = 5 if isinstance(chat, Chat) else 20
    found = chat.run(
        [one.conversation(asked.contexts, alternatives, rng) for one in questions],
        rng,
        ledger=asked.out / "answers.sqlite",
        progress=count,
    )
    quality = JudgeQuality.of(found, rng)
    name = str(asked.chat["model"])
    print_section(judge_section(name, quality, len(questions)))
    print_section(cost_facts(usage, len(texts)))
    out.print(f"{name} {quality.sentence}", highlight=False, markup=False, soft_wrap=True)
    estimates = {key: asdict(each) for key, each in {**quality.estimates, **quality.biases}.items()}
    content = {"model": name, "texts": len(texts), "said": quality.sentence, "estimates": estimates}
    write_bytes(asked.out / "judge.json", seal_json(content))
    return quality


def judge_section(name: str, quality: JudgeQuality, explanations: int) -> Section:
    """The judge's rates and habits, each with its interval."""
    covered, others = quality.counts.covered, quality.counts.others
    rows = [(metric, estimate) for metric, estimate in quality.estimates.items()]
    rows += [
        (f"habit: {bias.replace('_', ' ')}{', suspected' if is_noticeable(each) else ''}", each)
        for bias, each in quality.biases.items()
        if math.isfinite(each.value)
    ]
    yes, answered = covered.yes + others.yes, covered.items + others.items
    note = (
        f"{answered:,} texts of {explanations:,} explanations, {covered.items:,} of them fitting;"
        f" it said yes to {yes:,}, and nothing that can be read to"
        f" {covered.failed + others.failed:,}."
    )
    return Section(name, "", (Grid(("of the judge", "value"), tuple(rows), note),))


def cost_facts(usage: Usage, texts: int) -> Section:
    """What was asked, and what a thousand contexts would cost."""
    thousand = 1000 / max(1, texts)
    tokens = usage.prompt_tokens + usage.completion_tokens
    lines = [
        ("requests", f"{usage.answered:,} answered, {usage.reused:,} from the ledger"),
        ("tokens", f"{usage.prompt_tokens:,} of prompts, {usage.completion_tokens:,} of answers"),
    ]
    if usage.answered:
        lines.append(("a thousand contexts", f"{tokens * thousand:,.0f} tokens"))
    if usage.money:
        each = usage.money * thousand
        lines.append(("money", f"{usage.money:.4f}; a thousand contexts {each:.4f}"))
    return Section("Cost", "", (Facts(tuple(lines)),))
