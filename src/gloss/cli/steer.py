"""What does the model write with a feature changed?"""

from typing import Annotated

import typer

from gloss.cli.arguments import Adapter, Device, Dtype, Site


def steer(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN@FEATURE|MODEL DICTIONARY FEATURE PROMPT...",
            help="A feature of a run, or of a dictionary in a model; then what to go on from.",
        ),
    ],
    strength: Annotated[
        float | None, typer.Option(help="How strongly, in units of the feature's activation.")
    ] = None,
    kl: Annotated[
        float | None, typer.Option(help="Or: as strongly as moves the next token by so many nats.")
    ] = None,
    edit: Annotated[
        str, typer.Option(help="`add` to the activation, `set` it, or `ablate` it.")
    ] = "add",
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to write.")] = 24,
    control: Annotated[
        bool, typer.Option("--control", help="Show a random direction at the same KL too.")
    ] = False,
    site: Site = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """**Change a feature** inside the model and see what it writes then, beside what it writes by
    itself.

    `gloss steer runs/demo@999 "def main(" --kl 1` takes the run's own subject and dictionary;
    `gloss steer embedded embedded 999 "def main(" --kl 1` names them. Several prompts give
    intervals.
    """
    from gloss.run.commands.steer import SteeringSettings, print_steering
    from gloss.run.sources import feature_and_prompts

    source, prompts = feature_and_prompts(words, site, device, dtype, adapter)
    print_steering(source, prompts, SteeringSettings(edit, strength, kl, tokens, control))
