"""What was done: subject, dictionary, texts, sampler, negatives, judge and seeds, and how often the features fire."""

import json
from collections import Counter

import numpy as np

from gloss.browse.figures import one_in, percent
from gloss.browse.sections import Distributions, Facts, Line, Section
from gloss.collect.sides import Sides
from gloss.run.experiment import EMBEDDED, Table
from gloss.run.plan import RESOLVED, Plan
from gloss.run.reporting.material import Material
from gloss.store.activations import Activations
from gloss.store.copied import Copied, copied_windows

KINDS = {
    "random": "at random",
    "same_token": "same token",
    "neighbours": "neighbour fires",
    "siblings": "sibling fires",
    "similar": "similar text",
}


def done(found: Material) -> Section:
    """Everything that somebody else would need to do the same."""
    lines = (*subject(found.plan), *contexts(found), *methods(found.plan))
    return Section("What was done", "Everything that a second run would need to be the same.", (Facts(lines),))


def subject(plan: Plan) -> tuple[tuple[str, str], ...]:
    asked, activations, corpus = plan.experiment, plan.activations, plan.corpus
    revision = f", revision {asked.subject.revision}" if asked.subject.revision else ""
    trained = settings(asked.decompose | {"method": f"trained here by {asked.decompose.get('method')}"}, "method")
    given = asked.decompose.get("dictionary")
    name = "the embedded dictionary" if given == EMBEDDED else given or trained
    l0 = activations.manifest["nonzeros"] / max(1, corpus.counted.sum())
    shown = corpus.shown.mean()
    return (
        ("subject", ("the embedded language model" if asked.subject.model == EMBEDDED else asked.subject.model) + revision),
        ("dictionary", f"{name}; {activations.width:,} features, L0 {l0:.1f}"),
        ("site", activations.manifest["made_from"]["site"]),
        ("texts", ", ".join(asked.collect.texts)),
        (
            "corpus",
            f"{len(corpus):,} tokens of {len(corpus.hashes):,} documents, read {asked.collect.context_length} at a time; "
            f"{percent(shown)} of the tokens may be shown, the others are held out, split by document",
        ),
        ("split", f"{Sides.of(plan.place('collect') / 'corpus')}; {copied_of(plan)}"),
        ("left out", left_out_of(activations)),
        (
            "features",
            f"{len(plan.features):,} drawn from {len(plan.live):,} that fire at {asked.run.minimum_activations} tokens or more; "
            f"{activations.width - len(plan.live):,} of {activations.width:,} fire more rarely or never",
        ),
    )


def copied_of(plan: Plan) -> Copied:
    """The held-out windows that stand in the shown split, too."""
    return copied_windows(plan.corpus, plan.experiment.sampling.context_length)


def left_out_of(activations: Activations) -> str:
    """How many tokens count nowhere, of which kind, in words."""
    known = activations.manifest
    massive, every = known["massive"], known["tokens"]
    special, multiple = known["left_out"] - massive, known["made_from"]["settings"]["massive"]
    told = f"longer than {multiple:g} times the median, {known['median_length']:.4g}" if multiple else "not looked for"
    share = percent(known["left_out"] / max(1, every))
    return f"{share} of the tokens count nowhere: {special:,} by what they are (leave_out), {massive:,} massive ({told})"


def contexts(found: Material) -> tuple[tuple[str, str], ...]:
    """How contexts were chosen, and which silent ones were found."""
    plan = found.plan
    sampling = plan.experiment.sampling
    kinds: Counter[str] = Counter()
    for note in found.notes("sample"):
        kinds.update(note.get("negatives", {}))
    counts = "; ".join(f"{number:,} {KINDS.get(kind, kind.replace('_', ' '))}" for kind, number in kinds.items())
    return (
        ("sampler", settings(plan.experiment.sample[0], "method")),
        (
            "windows",
            f"{sampling.context_length} tokens, {sampling.placement}; up to {sampling.shown} firing and {sampling.silent_shown} "
            f"silent ones shown, {sampling.held_out} firing and {sampling.silent_held_out} silent ones held out",
        ),
        ("negatives", f"asked for: {sampling.negatives}; held-out ones found: {counts or 'none'}"),
    )


def methods(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Who explained and who judged, with every setting that is not the default, and what the run was made with."""
    asked = plan.experiment
    chat = asked.chat
    judge = f"{chat.get('model', '?')} at {chat['base_url']}" if chat.get("base_url") else str(chat.get("model", ""))
    versions = json.loads((plan.folder / RESOLVED).read_text("utf-8")).get("versions", {})
    return (
        ("explained by", "; ".join(settings(table, "method") for table in asked.explain)),
        ("scored by", "; ".join(settings(table, "method") for table in asked.score)),
        ("judge", judge or "no language model was asked"),
        ("seed", str(asked.run.seed)),
        ("made with", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("keys", ", ".join(f"{stage} {key}" for stage, key in plan.keys.items())),
    )


def settings(table: Table, name: str) -> str:
    """A method's name with its other settings in brackets."""
    others = ", ".join(f"{key} = {value}" for key, value in table.items() if key != name)
    return f"{table[name]} ({others})" if others else str(table[name])


def base_rates(found: Material) -> Section:
    """How often the features fire, which every score must be read beside."""
    plan = found.plan
    shares = plan.activations.counts[[feature.index for feature in plan.features]] / max(1, plan.corpus.counted.sum())
    logs = np.log10(np.maximum(shares, 1e-12))
    low, middle, high = (float(q) for q in np.quantile(shares, (0.05, 0.5, 0.95))) if len(shares) else (np.nan,) * 3
    line = Line("log₁₀ of the share of tokens", logs, found.median(logs))
    lead = (
        f"The median feature fires at {percent(middle)} of the tokens ({one_in(middle)}); nine of ten lie between {percent(low)} "
        f"and {percent(high)}. A metric that weighs firing and silent text equally cannot be read at such rates."
    )
    return Section("Base rates", lead, (Distributions("How often features fire", (line,)),))
