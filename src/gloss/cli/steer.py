"""What does the model write with a feature changed?"""

from typing import Annotated

import typer

from gloss.cli.arguments import Adapter, Device, Dictionary, Dtype, Model, Site


def steer(
    model: Model,
    dictionary: Dictionary,
    feature: Annotated[
        int, typer.Argument(metavar="FEATURE", min=0, help="The feature's index in the dictionary.")
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT...", help="What to go on from; more give intervals."),
    ] = None,
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
    """
    from gloss.run.commands.steer import SteeringSettings, print_steering
    from gloss.run.experiment import subject_settings

    print_steering(
        (subject_settings(model, device, dtype, adapter), dictionary),
        feature,
        prompts or [],
        SteeringSettings(edit, strength, kl, tokens, control),
        site,
    )
