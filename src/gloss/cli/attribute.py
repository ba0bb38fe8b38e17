"""What acts together to make a model say what it does?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from gloss.cli.arguments import Adapter, Device, Dtype, Wait


def attribute(
    prompt: Annotated[str, typer.Option(help="The text whose parts are asked about.")] = "",
    answer: Annotated[
        str, typer.Option(help="What the model says next; its own likeliest token if left out.")
    ] = "",
    other: Annotated[
        str, typer.Option(help="Another answer, for the difference between the two.")
    ] = "",
    feature: Annotated[
        str,
        typer.Option(help="Or why this feature fires at the end: RUN@INDEX or DICTIONARY@INDEX."),
    ] = "",
    value: Annotated[
        str, typer.Option(help="log_probability, log_odds, difference, kl or activation.")
    ] = "",
    unit: Annotated[
        str,
        typer.Option(
            help="What is removed as a whole: words, sentences, lines, tokens or positions."
        ),
    ] = "",
    removal: Annotated[
        str,
        typer.Option(
            help="remove, mask, infill, resample or fade; of parts mean, zero, resample or patch."
        ),
    ] = "",
    other_prompts: Annotated[
        str,
        typer.Option(help="A file, a prompt a line: what is resampled from, or the mean is over."),
    ] = "",
    prompts: Annotated[
        str,
        typer.Option(
            help=(
                "A file, a line of JSON a prompt (prompt, corrupted, answer, other): one question"
                " about all of them for --components, --features and --unit positions; or else a"
                " question each."
            )
        ),
    ] = "",
    components: Annotated[
        str, typer.Option(help="Ask about parts of the model instead: heads, mlps or layers.")
    ] = "",
    features: Annotated[
        str, typer.Option(help="Or about features at a site: RUN@3,17,40 or DICTIONARY@3,17,40.")
    ] = "",
    data: Annotated[
        str, typer.Option(help="Or about a table of masks and values: .csv, .parquet or .npz.")
    ] = "",
    examples: Annotated[
        str,
        typer.Option(
            help="Or about training examples: a .jsonl with text, label and perhaps group."
        ),
    ] = "",
    learner: Annotated[
        str,
        typer.Option(
            help=(
                "What learns from them: ridge, logistic (if left out), neighbours or fine_tune;"
                " with settings, as in 'fine_tune epochs=2'."
            )
        ),
    ] = "",
    groups: Annotated[
        int, typer.Option(min=0, help="Make so many clusters of like examples the players.")
    ] = 0,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that fine-tune at a time.")
    ] = 1,
    passages: Annotated[
        str,
        typer.Option(
            help=(
                "Or about a file of passages (.jsonl with `text`, or a text with a passage a line"
                " or paragraph): which of them, then which of their sentences and words."
            )
        ),
    ] = "",
    question: Annotated[str, typer.Option(help="What is asked behind the passages.")] = "",
    template: Annotated[
        str,
        typer.Option(help="How passages and question stand: text with {passages} and {question}."),
    ] = "",
    block: Annotated[
        int,
        typer.Option(min=1, help="Neighbouring passages that are joined first, to be opened."),
    ] = 1,
    model: Annotated[
        str,
        typer.Option(
            help=(
                "A folder, a name on the hub, `embedded`, or a RUN; left out, the RUN of a feature,"
                " or `embedded`, which reads Python."
            )
        ),
    ] = "",
    base_url: Annotated[
        str, typer.Option(help="Of an endpoint that has the model, if it is not to run here.")
    ] = "",
    method: Annotated[str, typer.Option(help="Who attributes; see docs/attribute.md.")] = "auto",
    budget: Annotated[int | None, typer.Option(min=1, help="How many masks may be valued.")] = None,
    order: Annotated[
        int | None, typer.Option(min=1, help="Of the largest sets that are looked for.")
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(help="Share of the players that masks near the whole keep: 0.9 if left out."),
    ] = None,
    proxy: Annotated[
        str,
        typer.Option(
            help="A smaller model that proposes what matters; the one asked about disposes."
        ),
    ] = "",
    proxy_budget: Annotated[
        int, typer.Option(min=32, help="How many values the proxy gives.")
    ] = 2048,
    folder: Annotated[Path, typer.Option(help="Where values, records and pages are kept.")] = Path(
        "runs/attribute"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the masks that are drawn.")] = 0,
    wait: Wait = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """Say which words, heads, features or training examples **act together** to make the model say
    what it does.

    `gloss attribute --prompt "for i in range(len("` asks the embedded model, which reads Python;
    `gloss attribute --model MODEL --prompt "The keys to the cabinet" --answer " are" --other " is"`
    asks another; `gloss attribute --examples TRAIN.jsonl --prompt "so happy" --answer joy` asks
    which training examples make a learner say so.
    """
    from gloss.attribute.question import AttributionQuestion
    from gloss.run.commands.attribute import AttributionSettings, report_attribution
    from gloss.run.commands.attribute_passages import question_of_file, report_passages
    from gloss.run.commands.attribute_prompts import report_prompts
    from gloss.run.sources import model_of_features

    asked: dict[str, Any] = {
        "model": model_of_features(model, feature, features),
        "prompt": prompt,
        "answer": answer,
        "other": other,
        "feature": feature,
        "base_url": base_url,
        "value": value,
        "unit": unit,
        "removal": removal,
        "components": components,
        "features": features,
        "data": data,
        "device": device,
        "dtype": dtype,
        "adapter": adapter,
        "other_prompts": other_prompts,
        "examples": examples,
        "learner": learner,
        "groups": groups,
    }
    options = AttributionSettings(
        method,
        budget,
        order,
        near,
        jobs,
        folder,
        seed,
        proxy=proxy,
        proxy_budget=proxy_budget,
    )
    if passages or question or template or block > 1:
        given = asked | {"prompts": prompts}
        about = question_of_file(passages, question, template, given)
        report_passages(about, options, block, wait=wait)
    elif prompts:
        report_prompts(Path(prompts), asked, options, wait=wait)
    else:
        report_attribution(AttributionQuestion(**asked), options, wait=wait)
