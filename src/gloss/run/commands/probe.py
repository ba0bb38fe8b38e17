"""What a language model can do, found out by asking it."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table as Printed
from rich.text import Text

from gloss.errors import BadSettings
from gloss.models.chat_models.capabilities import Agreement, Capabilities
from gloss.models.chat_models.manner import Manner
from gloss.records.needs import Ability
from gloss.run.chat_capabilities import abilities_by_chat, try_out_model
from gloss.run.chat_tables import ChatTable
from gloss.run.experiment import Experiment
from gloss.run.methods import SettingsMapping
from gloss.run.planning import plan_run
from gloss.run.progress import out

ABILITY_WORDS: Mapping[Ability, str] = {
    Ability.CHAT: "answers chats",
    Ability.LOGPROBS: "log-probabilities of what it generates",
    Ability.OWN_TEXT: "log-probabilities of a prompt's own text",
}


def print_capabilities(experiment: Experiment) -> None:
    """Try every language model out anew that some method asks, or all where none is asked.

    Keeps what was found, and prints it beside the methods that need it.
    """
    if not experiment.chat:
        raise BadSettings(
            'the experiment names no language model; add [chat] with base_url and model = "..."'
        )
    run = plan_run(experiment)
    every = abilities_by_chat(experiment)
    for chat, stages in [each for each in every if each[1]] or every:
        out.print(capability_table(chat, stages, try_out_model(run, chat)))


def capability_table(
    chat: ChatTable, stages: Sequence[tuple[str, Sequence[Ability]]], found: Capabilities
) -> Printed:
    """What one language model was found to do, beside the methods that ask it."""
    title = " ".join(filter(None, (chat.name, str(chat.settings.get("model")))))
    table = Printed("capability", "found", "needed by", title=Text(title))
    for need, words in ABILITY_WORDS.items():
        users = ", ".join(stage for stage, needs in stages if need in needs)
        how = (
            f"yes, by {found.own_text.form}"
            if need is Ability.OWN_TEXT and found.own_text.form
            else "yes"
        )
        lacks = found.lacking(need)
        table.add_row(
            words, how if lacks is None else f"no: {lacks.partition(';')[0]}", users or "-"
        )
    table.add_row("keeps to a JSON schema", "yes" if found.json_schema else "no", "")
    table.add_row("thinks before it answers", "yes" if found.manner.thinks else "no", "")
    table.add_row("is asked otherwise than others", manner_differences(found.manner), "")
    table.add_row(
        "agrees with the weights that are here", agreement_words(chat.settings, found.weights), ""
    )
    return table


def manner_differences(manner: Manner) -> str:
    """What is peculiar to the requests that an endpoint gets, in words."""
    told = {
        f"the limit is called {manner.limit}" if manner.limit else "without a limit": (
            manner.limit != Manner().limit
        ),
        f"without {', '.join(manner.left_out)}": bool(manner.left_out),
        "system turns go into the user's first one": not manner.system,
        f"at a temperature of {manner.coldest:g} at least": manner.coldest > 0,
        f"{manner.most_tokens:,} answer tokens at most": manner.most_tokens > 0,
        f"{manner.least_tokens:,} answer tokens at least": manner.least_tokens > 1,
        f"{manner.most_alternatives} alternatives at most": manner.most_alternatives > 0,
    }
    return "; ".join(words for words, holds in told.items() if holds) or "no"


def agreement_words(chat: SettingsMapping, found: Agreement | None) -> str:
    """The comparison with weights in words."""
    if "weights" not in chat:
        return escape("not asked: name them in [chat] weights")
    if found is None:
        return "not known: it says nothing of what it generates in plain text"
    told = (
        f"median {found.median:.1g} nats apart, {found.largest:.1g} at most, over {found.tokens}"
        " tokens"
    )
    return f"{'yes' if found.agrees else 'no'}: {told}"
