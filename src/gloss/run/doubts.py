"""What a run says against its own judges, on every page and in the terminal."""

from gloss.run.experiment import Table, called
from gloss.run.plan import Plan, named
from gloss.score.doubts import Tally, added, answers, doubts

NOTE = "answers"  # in the notes of a scorer's parts


def tally_of(plan: Plan, stage: str) -> Tally:
    """The answers of one scorer's judge, over the shards that are done; empty for a scorer that gives no verdicts."""
    parts = [plan.part(stage, shard) for shard in range(plan.shards)]
    return added(part.note().get(NOTE, {}) for part in parts if part.is_done)


def doubts_of(plan: Plan) -> tuple[str, ...]:
    """A sentence for everything that speaks against a judge; none where nothing does."""
    found: list[str] = []
    for settings in plan.experiment.score:
        stage, tells = named("score", settings), tells_by(plan, settings)
        if stage in plan.keys and (tally := tally_of(plan, stage)):
            said = list(doubts(tally, tells=tells is True))
            constant = any(doubt.startswith("said ") for doubt in said)  # which is no better than chance anyway
            found += [
                f"The judge of {called(settings)} {doubt}."
                for doubt in ([UNTOLD] if tells is False and not constant else []) + said
            ]
    return tuple(found)


UNTOLD = "is seen no better than chance on contexts of known truth, one at a time or many; its scores say little"


def tells_by(plan: Plan, settings: Table) -> bool | None:
    """Whether the judge was seen to tell right from wrong on contexts of known truth; None where that was not measured."""
    stage = f"packing.{settings['method']}"
    if stage not in plan.keys or not plan.part(stage, 0).is_done:
        return None
    return plan.part(stage, 0).note().get("tells")


def told(plan: Plan, stage: str) -> str:
    """The share of yes in one line; nothing where nobody was asked for yes or no."""
    said = answers(tally_of(plan, stage))
    if not said.yes + said.no:
        return ""
    return f"the judge said yes to {said.yes:,} of {said.yes + said.no:,} contexts ({100 * said.share:.0f} %)"
