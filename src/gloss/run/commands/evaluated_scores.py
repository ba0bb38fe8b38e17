"""What a run scored of its features' explanations, or a control of it, for `gloss evaluate`."""

from gloss.errors import BadInput
from gloss.evaluate.measure import RunScores, ScoredBy
from gloss.records import NOBODY, Control
from gloss.run.opened_run import OpenedRun
from gloss.run.reporting.run_data import RunData, headline_values
from gloss.run.reporting.score_rows import NO_SCORES
from gloss.run.reporting.untrained_controls import finished_controls


def run_scores(name: str, run: OpenedRun | None, control: str = "") -> RunScores:
    """The scores of a dictionary's run, or of its control of this name.

    Raises BadInput where there is no run, no such control, or no score.
    """
    if run is None:
        raise BadInput(
            f"{name} is no run, and explanations are scored by one; give the folder of a run"
        )
    found = RunData(run)
    if control:
        controls = dict(finished_controls(found))
        if control not in controls:
            setting = control.replace(" ", "_")
            raise BadInput(
                f"the run in {run.folder} has no finished control of a {control}; run its"
                f" experiment with [controls] {setting} = true"
            )
        found = controls[control]
    by: dict[str, ScoredBy] = {}
    for scorer, explainer in found.scored:
        if explainer == NOBODY or not found.has_scored(scorer):
            continue
        rows = found.scores.get((scorer, explainer), NO_SCORES)  # none, where nothing was explained
        under = {each: headline_values(rows, each) for each in Control}
        values = {str(each): values for each, values in under.items() if len(values)}
        by[f"{scorer} of {explainer}"] = ScoredBy(rows[0]["headline"] if rows else "", values)
    if not by:
        raise BadInput(
            f"the run in {run.folder} has no finished scores of explanations; run its experiment"
            " to the end first"
        )
    return RunScores(found.examined, by)
