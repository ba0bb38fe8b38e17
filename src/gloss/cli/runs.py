"""The verbs that take a run: they tell how far it is, check its files, write its pages, ask its
records.
"""

from pathlib import Path
from typing import Annotated

import typer

from gloss.cli.arguments import RunFolder, Wait, run_folder


def browse(run_folder: RunFolder, wait: Wait = False) -> None:
    """Write a run's **pages** again and say where they are."""
    from gloss.run.pipeline import rewrite_pages

    rewrite_pages(run_folder, wait=wait)


def status(
    run_folder: RunFolder,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it in place until nobody works there any more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say how far a run is: what each stage has done, what failed and why, and what it has cost."""
    from gloss.run.commands.status import print_run_status, watch_run_status

    if watch:
        watch_run_status(run_folder, as_json=as_json)
    else:
        print_run_status(run_folder, as_json=as_json)


def verify(
    run_folder: RunFolder,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend", help="Delete what is damaged; the experiment, run again, makes it anew."
        ),
    ] = False,
    wait: Wait = False,
) -> None:
    """Read **every file** of a run and say which are not as they were written."""
    from gloss.run.commands.verify import verify_run

    verify_run(run_folder, mend=mend, wait=wait)


def report(
    run_folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="The folder of a run, its URL, or its EXPERIMENT.toml; several are compared.",
            parser=run_folder,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE.html",
            help="Where the comparison goes; with the first run if left out.",
        ),
    ] = None,
    wait: Wait = False,
) -> None:
    """Write a run's **report**: one page with its settings, scores beside controls, what each
    metric can see, and cost.

    Several runs are compared, whatever differs between them: paired by feature where they treat the
    same ones, or else over seeds, or over features.
    """
    from gloss.run.pipeline import write_and_print_report

    write_and_print_report(run_folders, out, wait=wait)


def query(
    run_folder: RunFolder,
    sql: Annotated[str, typer.Argument(metavar="SQL")] = "SHOW TABLES",
    form: Annotated[
        str, typer.Option("--format", help="table, csv, json or parquet; on standard output.")
    ] = "table",
    external: Annotated[
        bool, typer.Option("--external", help="Let the query read and write files outside the run.")
    ] = False,
) -> None:
    """Ask a run's records in **SQL**: tables explanations, scores, verdicts, failures, examples,
    features, statistics, ...
    """
    from gloss.run.commands.query import print_query_answer

    print_query_answer(run_folder, sql, form, external)
