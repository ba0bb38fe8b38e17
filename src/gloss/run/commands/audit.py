"""Behind `gloss audit`: labels that others made, scored as a run's own explanations are, and which
of them to believe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gloss.errors import BadInput, BadSettings
from gloss.explain.given import rule_of_label
from gloss.models.bundled import EMBEDDED, SMOLLM2, model_place
from gloss.models.embedder import PACKAGE
from gloss.pages.audit_page import AuditPage, LabelCard, write_audit_page
from gloss.pages.heatmap import Palette, paint_context
from gloss.pages.report_sections import Grid, Section
from gloss.records import Estimate, Reason
from gloss.rules.reading import read_label
from gloss.run.experiment import NEURONS, Experiment, SubjectSettings, method_label
from gloss.run.judge_doubts import judge_beats_chance, judge_doubts
from gloss.run.opened_run import OpenedRun
from gloss.run.pipeline import run_all, run_until
from gloss.run.planning import plan_run
from gloss.run.progress import console, out, print_notes
from gloss.run.reporting.label_verdicts import verdict_counts
from gloss.run.reporting.report import print_section
from gloss.run.reporting.run_data import RunData
from gloss.run.sources import NamedDictionary, dictionary_folder, run_in
from gloss.run.stages.audit import WIDTH
from gloss.run.stages.packing import STAGE as PACKING
from gloss.score.label_audit import NOBODY_SAYS, Trust
from gloss.store.contexts import cut_contexts
from gloss.store.labels import Label, SkippedRow, labels_by_feature, read_published
from gloss.store.labels.published_files import skipped_words
from gloss.store.parquet import GroupWriter
from gloss.store.results import Row, read_rows
from gloss.store.schemas import SCHEMAS

EXECUTION = {"method": "execution", "read_text": True}
CALIBRATION = 400  # contexts of known truth, by which a judge's errors are taken out
LABELLED, PAGE = "labels.parquet", "audit.html"
SHOWN = 40  # labels of each verdict on the page
COLUMNS = pa.schema(
    [
        *SCHEMAS["label_verdicts"],
        ("made_by", pa.string()),
        ("layer", pa.string()),
        ("published_scores", pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))),
    ]
)


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What a command line asks of an audit."""

    labels: Sequence[str]
    model: str
    dictionary: str = ""
    site: str = ""
    texts: Sequence[str] = ()
    features: int = 200  # labels that are audited, drawn at random; 0: all
    tokens: int = 400_000
    layer: str = ""
    by: str = ""
    chat: Mapping[str, Any] = field(default_factory=dict[str, Any])  # the table [chat], or nothing
    out: Path = Path("runs/audit")
    seed: int = 0


def audit_chat(url: str, model: str, local: str) -> dict[str, Any]:
    """The table [chat] that the flags stand for. Raises BadSettings for half of one."""
    if url and local:
        raise BadSettings("give --chat-url or --local, not both: one judge is asked")
    if bool(url) != bool(model):
        raise BadSettings("an endpoint needs both --chat-url and --chat-model")
    if local:
        return {"backend": "transformers", "model": local}
    # answers that cannot be read count as wrong: who gives many is seen to tell nothing
    return {"base_url": url, "model": model, "most_unreadable": 1.0} if url else {}


def run_audit(asked: AuditRequest) -> None:
    """Run the audit, which goes on where it was killed, write its table and its page, and say how
    many labels got which verdict.
    """
    sources = source_tables(asked)
    labels, skipped = chosen_labels(asked, dictionary_width(sources))
    if told := skipped_words(_counted(skipped)):
        print_notes(told)
    experiment, useless = without_useless_judges(audit_experiment(asked, sources, labels))
    run_all(experiment)
    run = plan_run(experiment)
    rows = audited_labels(run, labels, useless)
    with GroupWriter(asked.out / LABELLED, COLUMNS) as file:
        file.add(**{name: [row[name] for row in rows] for name in COLUMNS.names})
    doubts = (*([useless_judge_words(useless)] if useless else ()), *judge_doubts(run))
    page = write_audit_page(asked.out / PAGE, audit_page(run, rows, doubts))
    print_section(counts_section(rows, asked_a_judge=bool(asked.chat)))
    for doubt in doubts:
        console.print(f"[bold red]take care:[/] {doubt}", highlight=False)
    out.print(f"{asked.out / LABELLED}: {len(rows):,} labels, a row each", highlight=False)
    console.print(f"open [bold]{page.resolve().as_uri()}[/]", highlight=False)


def without_useless_judges(experiment: Experiment) -> tuple[Experiment, str]:
    """The experiment without scores whose judge is seen no better than chance on contexts of known
    truth, and the names of these scores: it is asked about no label.
    """
    if not experiment.chat:
        return experiment, ""
    run = run_until(experiment, PACKING)
    useless = [one for one in experiment.score if judge_beats_chance(run, one) is False]
    kept = [one for one in experiment.score if one not in useless]
    tables = experiment.tables() | {"score": kept or [EXECUTION]}
    names = " and ".join(method_label(one) for one in useless)
    return (Experiment.of(tables), names) if useless else (experiment, "")


def useless_judge_words(names: str) -> str:
    """That a judge measures nothing."""
    return (
        f"The judge of {names} measures nothing: on contexts of known truth it is seen no better"
        " than chance. It was asked about no label, and no label is sorted by it."
    )


def _counted(skipped: Sequence[SkippedRow]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in skipped:
        counts[str(row.reason)] = counts.get(str(row.reason), 0) + 1
    return counts


def source_tables(asked: AuditRequest) -> dict[str, dict[str, Any]]:
    """The tables that name the subject, the texts and the dictionary; a run stands for its own.

    Raises BadSettings where a dictionary or texts are left out beside a model that is no run.
    """
    run = run_in(asked.model)
    if run is None and not (asked.dictionary and asked.texts):
        raise BadSettings(
            f"{asked.model} is no run, so a dictionary and texts are needed beside it; give"
            " --dictionary and --texts, or the folder of a run as --model"
        )
    tables = run.experiment.tables() if run else {}
    subject = dict(tables.get("subject", {"model": asked.model}))
    collect = dict(tables.get("collect", {})) | {"max_tokens": asked.tokens}
    if asked.texts:
        collect |= {"texts": list(asked.texts)}
    decompose: dict[str, Any] = {}
    if asked.dictionary:
        named = NamedDictionary.of(asked.dictionary, asked.site)
        decompose = {"dictionary": str(named.folder) if named.run else asked.dictionary}
        decompose |= {"site": named.site} if named.site else {}
    elif run is not None:
        given = run.experiment.decompose.get("dictionary")
        by_name = given in (EMBEDDED, SMOLLM2, NEURONS)
        decompose = {"dictionary": given if by_name else str(dictionary_folder(run))}
        site = asked.site or run.experiment.decompose.get("site", "")
        decompose |= {"site": site} if site else {}
    return {"subject": subject, "collect": collect, "decompose": decompose}


def dictionary_width(tables: Mapping[str, Mapping[str, Any]]) -> int:
    """How many features the dictionary has, by its files; 0 for neurons, which have none."""
    given = tables["decompose"]
    if given["dictionary"] == NEURONS:
        return 0
    named = NamedDictionary.of(given["dictionary"], given.get("site", ""))
    try:
        return named.load().width
    except BadInput:  # its files do not say where it belongs; the run says what to do
        from gloss.run.sources import NamedModel

        return named.load(NamedModel.of(SubjectSettings(**tables["subject"]).model).load()).width


def chosen_labels(asked: AuditRequest, width: int) -> tuple[dict[int, Label], list[SkippedRow]]:
    """The labels that are audited, by feature: so many, drawn at random."""
    found = read_published(asked.labels)
    labels, skipped = labels_by_feature(found, asked.layer, asked.by, width)
    indices = sorted(labels)
    if 0 < asked.features < len(indices):
        rng = np.random.default_rng([asked.seed, *b"labels"])
        indices = sorted(rng.choice(indices, asked.features, replace=False).tolist())
    return {index: labels[index] for index in indices}, [*found.skipped, *skipped]


def audit_experiment(
    asked: AuditRequest, sources: Mapping[str, Any], labels: Mapping[int, Label]
) -> Experiment:
    """The experiment whose explanations are the labels, scored by everything that applies."""
    if len(asked.labels) != 1:
        raise BadSettings(
            "an audit is of one file or folder; bring several together by gloss import"
        )
    given = {"method": "given", "path": str(Path(asked.labels[0]).resolve())}
    given |= {name: value for name in ("layer", "by") if (value := getattr(asked, name))}
    judge = (
        {"chat": dict(asked.chat), "judge": {"calibration_items": CALIBRATION}}
        if asked.chat
        else {}
    )
    return Experiment.of(
        {
            **sources,
            "run": {
                "folder": str(asked.out),
                "features": tuple(labels),
                "seed": asked.seed,
            },
            "contexts": {"train": 100, "inactive_train": 200},
            "explain": [given],
            "score": list(audit_scores(asked, labels)),
            "collisions": {"by": "none"},
            "audit": {},
            **judge,
        }
    )


def audit_scores(asked: AuditRequest, labels: Mapping[int, Label]) -> list[dict[str, Any]]:
    """Every score that can be had: of rules, by embeddings, by a local model, by an endpoint."""
    scores: list[dict[str, Any]] = []
    if any(can_be_run(label) for label in labels.values()):
        scores.append(EXECUTION)
    if find_spec(PACKAGE) is not None:
        scores += [{"method": "embedding"}, {"method": "example_embedding"}]
    local = asked.chat.get("model") if asked.chat.get("backend") == "transformers" else ""
    if local:
        # many tokenizers write 10 as two tokens
        scores += [{"method": "surprisal"}, {"method": "simulation", "highest": 9, "contexts": 40}]
    if asked.chat and (not local or answers_chats(local)):
        scores += [{"method": "detection"}, {"method": "fuzzing"}]
    return scores or [EXECUTION]


def answers_chats(local: str) -> bool:
    """Whether a model in this process can be asked anything, by its tokenizer's chat template."""
    from gloss.models.pretrained.loading import load_chat_template

    if load_chat_template(model_place(local), None):
        return True
    print_notes(
        f"{local} has no chat template: surprisal and simulation are had of it, and no verdict of a"
        " judge"
    )
    return False


def can_be_run(label: Label) -> bool:
    """Whether the label is a rule, or its words are read as one."""
    try:
        return rule_of_label(label) is not None or read_label(label.text) is not None
    except BadInput:
        return False


def audited_labels(run: OpenedRun, labels: Mapping[int, Label], useless: str = "") -> list[Row]:
    """A row for every label that was asked about: its verdict, or why nothing could be told."""
    told = {row["feature"]: row for row in run.rows("audit", "label_verdicts")}
    failed = {
        row["feature"]: row
        for row in read_rows([run.place(stage) for stage in run.keys], "failures")
        if row["stage"].startswith(("sample", "explain", "audit"))
    }
    rows: list[Row] = []
    for index, label in labels.items():
        row = told.get(index) or untold_row(run, index, label, failed.get(index))
        if useless and not row["scorer"]:
            row["reason"] = f"the judge of {useless} tells nothing; {row['reason']}"
        scores = [{"name": name, "value": value} for name, value in label.scores]
        rows.append(
            row | {"made_by": label.made_by, "layer": label.layer, "published_scores": scores}
        )
    return rows


def untold_row(run: OpenedRun, index: int, label: Label, failure: Row | None) -> Row:
    """The row of a label whose feature could not be looked at."""
    count = int(run.activations.counts[index])
    if failure is None:
        reason = (
            f"the feature fires at {count:,} of {run.activations.tokens:,} tokens; read more text"
        )
    elif failure["reason"] == Reason.TOO_FEW_EXAMPLES:
        reason = f"the feature fires in too few contexts: {failure['detail']}"
    else:
        reason = failure["detail"]
    missing = {"value": nan, "low": nan, "high": nan}
    empty: Row = dict.fromkeys(COLUMNS.names)
    return empty | {
        "dictionary": run.dictionary_name,
        "feature": index,
        "explained_by": "given",
        "text": label.text,
        "rule": label.rule,
        "verdict": str(Trust.CANNOT_BE_TOLD),
        "reason": reason,
        "near": False,
        "scorer": "",
        **dict.fromkeys(("precision", "recall", "score"), missing),
        "n": 0,
        "failed": 0,
        "beside": [],
        "flags": [],
        "contexts": [],
    }


def counts_section(rows: Sequence[Row], *, asked_a_judge: bool = False) -> Section:
    """How many labels got which verdict, and what nobody could say."""
    counts = tuple(cells[1:] for cells in verdict_counts("", rows))
    unjudged = sum(not row["scorer"] and NOBODY_SAYS in row["reason"] for row in rows)
    note = f"Labels without a rule that nobody judged: {unjudged:,}. " + (
        "Ask another judge." if asked_a_judge else "Give --chat-url and --chat-model, or --local."
    )
    told = " ".join(filter(None, (read_words(rows), note * bool(unjudged))))
    grid = Grid(("verdict", "labels", "share"), counts, told)
    return Section("Which labels to believe", "", (grid,))


def read_words(rows: Sequence[Row]) -> str:
    """How many labels in plain words were read as rules."""
    plain = [row for row in rows if row["rule"] is None]
    read = sum(row["read_as"] is not None for row in plain)
    return f"Of {len(plain):,} labels in words {read:,} were read as rules and run." * bool(plain)


def audit_page(run: OpenedRun, rows: Sequence[Row], doubts: tuple[str, ...]) -> AuditPage:
    """What the page of an audit shows."""
    found = RunData(run)
    cards = {
        str(trust): [card_of_row(found, row) for row in rows if row["verdict"] == trust][:SHOWN]
        for trust in Trust
    }
    asked = run.experiment
    facts = {
        "labels": f"{len(rows):,}, from {Path(str(asked.explain[0]['path'])).name}",
        "subject": asked.subject.model,
        "dictionary": str(asked.decompose.get("dictionary")),
        "texts": f"{', '.join(asked.collect.texts)}; {run.activations.tokens:,} tokens",
        "read": read_words(rows) or "no label is in plain words",
        "scored by": ", ".join(str(table["method"]) for table in asked.score),
        "seed": str(asked.run.seed),
    }
    counts = {
        str(trust): (sum(row["verdict"] == trust for row in rows), len(rows)) for trust in Trust
    }
    return AuditPage(run.folder.resolve().name, facts, counts, cards, doubts)


def card_of_row(found: RunData, row: Row) -> LabelCard:
    """One label with what its verdict rests on."""
    run, index = found.run, row["feature"]
    shown = row["contexts"] or []
    painted = ()
    if shown:
        activations = run.activations.feature(index)
        starts = np.array([each["start"] for each in shown], np.int64)
        contexts = cut_contexts(run.corpus, activations, starts, WIDTH, np.full(len(starts), -1))
        palette = Palette(
            run.corpus.vocabulary, float(activations.values.max(initial=0.0)), run.corpus.names
        )
        painted = tuple(paint_context(contexts, at, palette, True) for at in range(len(starts)))
    numbers = {
        name: Estimate(**row[name])
        for name in ("precision", "recall")
        if row[name]["value"] == row[name]["value"]
    }
    return LabelCard(
        found.link(index),
        row["text"],
        row["rule"] if row["rule"] != row["text"] else None,
        row["read_as"],
        row["reason"],
        row["scorer"],
        numbers,
        tuple(row["beside"]),
        tuple(row["flags"]),
        shown[0]["kind"] if shown else "",
        painted,
    )
