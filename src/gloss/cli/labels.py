"""The verbs about labels that others made: read them in any layout, and write them in another."""

from pathlib import Path
from typing import Annotated

import typer

from gloss.cli.arguments import Site

LabelFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="LABELS...",
        help="Files or folders, in a format that `gloss methods labels` lists.",
    ),
]


def import_labels(
    files: LabelFiles,
    out: Annotated[
        Path | None, typer.Option(help="Where to write them; the name says as what.")
    ] = None,
    as_format: Annotated[
        str,
        typer.Option("--as", help="Write `parquet`, `table` (CSV, JSON lines) or `neuronpedia`."),
    ] = "",
    layer: Annotated[str, typer.Option(help="Keep the labels of this layer alone.")] = "",
    by: Annotated[str, typer.Option(help="Keep the labels that this one made.")] = "",
    width: Annotated[
        int, typer.Option(min=0, help="Of the dictionary: pass over indices beyond it.")
    ] = 0,
    contexts: Annotated[
        Path | None, typer.Option(help="Where to write the published activations, as Parquet.")
    ] = None,
) -> None:
    """Read **labels that others made**, in the layout of Neuronpedia, delphi, SAEDashboard,
    Transluce, OpenAI, EleutherAI or any table, and write them as one.
    """
    from gloss.run.commands.import_labels import LabelChoice, print_imported_labels

    print_imported_labels(files, LabelChoice(layer, by, width), out, as_format, contexts)


def audit(
    labels: Annotated[
        str,
        typer.Argument(
            metavar="LABELS",
            help="A file or folder, in a format that `gloss methods labels` lists.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(help="A folder, a name on the hub, `embedded`, or a RUN with its own."),
    ],
    dictionary: Annotated[
        str, typer.Option(help="A folder in a known format, `embedded`, `neurons`, or a RUN.")
    ] = "",
    site: Site = "",
    texts: Annotated[
        list[str] | None, typer.Option(help="What the subject reads; repeatable.")
    ] = None,
    features: Annotated[
        int, typer.Option(min=0, help="How many labels, drawn at random; 0 for all.")
    ] = 200,
    tokens: Annotated[
        int, typer.Option(min=0, help="How many tokens to read; 0 for all.")
    ] = 400_000,
    layer: Annotated[str, typer.Option(help="Which, where the labels are of several.")] = "",
    by: Annotated[str, typer.Option(help="Whose, where several made labels.")] = "",
    chat_url: Annotated[
        str, typer.Option(help="An endpoint that judges the labels: detection and fuzzing.")
    ] = "",
    chat_model: Annotated[str, typer.Option(help="The judge, as its endpoint calls it.")] = "",
    local: Annotated[
        str, typer.Option(help="A judge in this process: a folder, a GGUF file, a name on the hub.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path("runs/audit"),
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
) -> None:
    """Say which **labels that others made** are to be believed: scored on held-out text, with
    controls, at the true base rate; and write a page and a table of it.
    """
    from gloss.run.commands.audit import AuditRequest, audit_chat, run_audit

    chat = audit_chat(chat_url, chat_model, local)
    source = (model, dictionary, site, tuple(texts or ()))
    run_audit(AuditRequest([labels], *source, features, tokens, layer, by, chat, out, seed))


def judge(
    texts: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl",
            help="Rows of explanation, text, label (1 or 0) and perhaps marked; CSV, Parquet too.",
        ),
    ],
    chat_url: Annotated[str, typer.Option(help="The judge's endpoint.")] = "",
    chat_model: Annotated[str, typer.Option(help="The judge, as its endpoint calls it.")] = "",
    local: Annotated[
        str, typer.Option(help="A judge in this process: a folder, a GGUF file, a name on the hub.")
    ] = "",
    contexts: Annotated[
        int, typer.Option(min=0, help="How many texts a request holds; 0 for 25.")
    ] = 0,
    limit: Annotated[
        int, typer.Option(min=0, help="How many texts, drawn at random; 0 for all.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Where answers are kept.")] = Path("runs/judge"),
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
) -> None:
    """Say **how good a judge is** before a run is paid for: its errors on labelled texts, its
    habits, how far its probabilities can be taken, and what it costs.
    """
    from gloss.run.commands.audit import audit_chat
    from gloss.run.commands.judge import JudgeTrial, try_judge

    chat = audit_chat(chat_url, chat_model, local)
    try_judge(JudgeTrial(texts, chat, contexts, limit, out, seed))
