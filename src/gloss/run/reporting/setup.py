"""What was done: subject, dictionary, texts, sampler, negatives, judge and seeds, and how often the
features fire.
"""

import json
from collections import Counter

import numpy as np

from gloss.collect.split_counts import SplitCounts
from gloss.models.bundled import describe_dictionary, describe_model
from gloss.pages.number_format import format_one_in, format_percent
from gloss.pages.report_sections import DistributionLine, Distributions, Facts, Section
from gloss.run.chat_tables import ChatTable
from gloss.run.experiment import SettingsTable
from gloss.run.opened_run import OpenedRun
from gloss.run.plan import RESOLVED
from gloss.run.reporting.run_data import RunData
from gloss.store.activations import Activations
from gloss.store.window_shares import CopiedWindows, count_copied_windows

NEGATIVE_WORDS = {
    "random": "at random",
    "same_token": "same token",
    "neighbours": "neighbour fires",
    "siblings": "sibling fires",
    "similar": "similar text",
}


def setup_section(found: RunData) -> Section:
    """Everything that somebody else would need to do the same."""
    run = found.run
    lines = (*subject_facts(run), *near_facts(run), *sampling_facts(found), *method_facts(run))
    return Section(
        "What was done", "Everything that a second run would need to be the same.", (Facts(lines),)
    )


def subject_facts(run: OpenedRun) -> tuple[tuple[str, str], ...]:
    asked, activations, corpus = run.experiment, run.activations, run.corpus
    revision = f", revision {asked.subject.revision}" if asked.subject.revision else ""
    trained = method_with_settings(
        asked.decompose | {"method": f"trained here by {asked.decompose.get('method')}"}, "method"
    )
    given = asked.decompose.get("dictionary")
    name = describe_dictionary(given) if given else trained
    l0 = activations.manifest["nonzeros"] / activations.counted_tokens
    train = (
        activations.manifest["train_tokens"] / activations.tokens
        if activations.is_mined
        else corpus.in_train.mean()
    )
    documents = SplitCounts.of(run.place("collect") / "corpus")
    return (
        (
            "subject",
            describe_model(asked.subject.model) + revision,
        ),
        *([("other model", describe_model(asked.subject.other))] if asked.subject.other else []),
        ("dictionary", f"{name}; {activations.width:,} features, L0 {l0:.1f}"),
        ("site", activations.manifest["made_from"]["site"]),
        ("texts", ", ".join(asked.collect.texts)),
        *((("merged from", ", ".join(asked.collect.merge)),) if asked.collect.merge else ()),
        (
            "corpus",
            (
                f"{activations.tokens:,} tokens of {documents.documents:,} documents, read"
                f" {asked.collect.context_length} at a time; {format_percent(train)} of the tokens"
                " are the train split, the others are held out, split by document"
            ),
        ),
        ("split", f"{documents}; {held_out_copies(run)}"),
        ("left out", left_out_summary(activations)),
        *((("kept", mined_summary(run)),) if activations.is_mined else ()),
        (
            "features",
            (
                f"{len(run.features):,} drawn from {len(run.live):,} that fire at"
                f" {asked.run.minimum_activations} tokens or more;"
                f" {activations.width - len(run.live):,} of {activations.width:,} fire more rarely"
                " or never"
            ),
        ),
    )


def held_out_copies(run: OpenedRun) -> CopiedWindows:
    """The held-out windows that stand in the train split, too. They are not counted in a corpus
    that was mined.
    """
    if run.activations.is_mined:
        return CopiedWindows(0, 0, counted=False)
    return count_copied_windows(run.corpus, run.experiment.sampling.context_length)


def mined_summary(run: OpenedRun) -> str:
    """What is kept of a corpus that was mined, and what follows for the numbers, in words."""
    asked = run.experiment.collect
    return (
        f"the corpus was mined: of each feature and split the {asked.strongest} strongest sequences"
        f" and up to {asked.kept} of each half octave of strength are kept, and of all features"
        f" {run.corpus.background:,} sequences that were drawn before; counts are exact, shares,"
        " scores of rules and mistakes are estimated from these sequences, with intervals that say"
        " so"
    )


def left_out_summary(activations: Activations) -> str:
    """How many tokens count nowhere, of which kind, in words."""
    known = activations.manifest
    massive, every = known["massive"], known["tokens"]
    special, multiple = known["left_out"] - massive, known["made_from"]["settings"]["massive"]
    massive_rule = (
        f"longer than {multiple:g} times the median, {known['median_length']:.4g}"
        if multiple
        else "not looked for"
    )
    share = format_percent(known["left_out"] / max(1, every))
    return (
        f"{share} of the tokens count nowhere: {special:,} by what they are (leave_out),"
        f" {massive:,} massive ({massive_rule})"
    )


def near_facts(run: OpenedRun) -> tuple[tuple[str, str], ...]:
    """How many of the near features were found, where they were searched approximately."""
    found = {
        step: note["recall"]
        for step in ("directions", "neighbours")
        if step in run.keys
        for note in run.notes(step)[:1]
        if "recall" in note
    }
    return tuple(
        (
            f"near features ({step})",
            (
                f"searched in {its['looked']:,} of {its['clusters']:,} clusters (faiss), which find"
                f" {format_percent(its['value'])} [{format_percent(its['low'])},"
                f" {format_percent(its['high'])}] of the ten nearest; n = {its['n']:,} features"
                " drawn at random, against an exact search"
            ),
        )
        for step, its in found.items()
    )


def sampling_facts(found: RunData) -> tuple[tuple[str, str], ...]:
    """How contexts were chosen, and which inactive ones were found."""
    run = found.run
    sampling = run.experiment.sampling
    kinds: Counter[str] = Counter()
    for note in found.run.notes("sample"):
        kinds.update(note.get("negatives", {}))
    counts = "; ".join(
        f"{number:,} {NEGATIVE_WORDS.get(kind, kind.replace('_', ' '))}"
        for kind, number in kinds.items()
    )
    return (
        ("sampler", method_with_settings(run.experiment.sample[0], "method")),
        (
            "windows",
            (
                f"{sampling.context_length} tokens, {sampling.placement}; up to {sampling.train}"
                f" firing and {sampling.inactive_train} inactive ones to explain with,"
                f" {sampling.held_out} firing and {sampling.inactive_held_out} inactive ones held"
                " out"
            ),
        ),
        ("negatives", f"asked for: {sampling.negatives}; held-out ones found: {counts or 'none'}"),
    )


def method_facts(run: OpenedRun) -> tuple[tuple[str, str], ...]:
    """Who explained and who judged, with every setting that is not the default, and what the run
    was made with.
    """
    asked = run.experiment
    models = "; ".join(language_model_words(chat) for chat in asked.chats.values())
    versions = json.loads((run.folder / RESOLVED).read_text("utf-8")).get("versions", {})
    return (
        (
            "explained by",
            "; ".join(method_with_settings(table, "method") for table in asked.explain),
        ),
        ("scored by", "; ".join(method_with_settings(table, "method") for table in asked.score)),
        ("language model", models or "no language model was asked"),
        ("seed", str(asked.run.seed)),
        ("made with", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("keys", ", ".join(f"{stage} {key}" for stage, key in run.keys.items())),
    )


def language_model_words(chat: ChatTable) -> str:
    """A language model with its address, behind its name in the experiment where it has one."""
    server = chat.settings.get("serve") or chat.settings.get("base_url")
    at = f" at {server}" if server else ""
    return f"{chat.name}: ".removeprefix(": ") + f"{chat.settings.get('model', '?')}{at}"


def method_with_settings(table: SettingsTable, name: str) -> str:
    """A method's name with its other settings in brackets."""
    others = ", ".join(f"{key} = {value}" for key, value in table.items() if key != name)
    return f"{table[name]} ({others})" if others else str(table[name])


def base_rates_section(found: RunData) -> Section:
    """How often the features fire, which every score must be read beside."""
    run = found.run
    shares = run.activations.counts[run.features.indices] / run.activations.counted_tokens
    logs = np.log10(np.maximum(shares, 1e-12))
    low, middle, high = (
        (float(q) for q in np.quantile(shares, (0.05, 0.5, 0.95))) if len(shares) else (np.nan,) * 3
    )
    line = DistributionLine("log₁₀ of the share of tokens", logs, found.median(logs))
    lead = (
        f"The median feature fires at {format_percent(middle)} of the tokens"
        f" ({format_one_in(middle)}); nine of ten lie between {format_percent(low)} and"
        f" {format_percent(high)}. A metric that weighs firing and inactive text equally cannot be"
        " read at such rates."
    )
    return Section("Base rates", lead, (Distributions("How often features fire", (line,)),))
