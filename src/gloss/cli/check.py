"""Does a dictionary fit a model?"""

from typing import Annotated

import typer

from gloss.cli.arguments import Adapter, Device, Dictionary, Dtype, Model, Site


def check(
    model: Model,
    dictionary: Dictionary,
    texts: Annotated[
        list[str] | None, typer.Option(help="Where to read text; the standard library if left out.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to read.")] = 50_000,
    site: Site = "",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Tokens that do not count: `special`, `none`, or one by text or number; repeatable."
            )
        ),
    ] = None,
    massive: Annotated[
        float,
        typer.Option(help="Count vectors so many times longer than the median apart; 0: none."),
    ] = 10.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """Measure a dictionary's **L0, FVU and recovered cross-entropy** on real text, beside what its
    card says.
    """
    from gloss.models.model_settings import leave_out_from_words
    from gloss.run.commands.check import print_dictionary_check
    from gloss.run.experiment import subject_settings

    subject, read = subject_settings(model, device, dtype, adapter), tuple(texts or ("stdlib",))
    print_dictionary_check(
        subject, dictionary, read, tokens, site, leave_out_from_words(leave_out), massive
    )
