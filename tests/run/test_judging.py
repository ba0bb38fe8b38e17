"""Runs find out how many contexts their judge can bear, and say what speaks against it, in the
terminal and on every page.
"""

import json
import re
from pathlib import Path

from small import SMALL, ran

from gloss.run.planning import read_run
from gloss.store.results import read_rows
from models.servers import serve

FEW = SMALL.replace("features = 12", "features = 5").replace(
    "[contexts]", "[contexts]\nheld_out = 12\ninactive_held_out = 12"
)
JUDGED = """
[judge]
packing = 48

[[score]]
method = "detection"

[chat]
model = "m"
base_url = "{url}"
"""


def judged(folder: Path, server) -> str:
    """What a run with this judge says on the way."""
    (folder / "experiment.toml").write_text(FEW + JUDGED.format(url=server.base_url))
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 0, err
    return " ".join(err.split())


def packings(folder: Path) -> dict[tuple[int, str], dict]:
    plan = read_run(folder / "out")
    return {
        (row["contexts"], row["form"]): row
        for row in read_rows([plan.place("packing.detection")], "packings")
    }


def pages(folder: Path) -> list[str]:
    out = folder / "out"
    feature = next((out / "page" / "features").rglob("*.html"))
    return [
        page.read_text() for page in (out / "page" / "index.html", feature, out / "report.html")
    ]


def test_a_judge_that_says_yes_to_lists_is_asked_one_question_at_a_time_and_is_not_doubted(folder):
    with serve(answer="yes in lists") as server:
        told = judged(folder, server)
        asked = len(server.requests())
        code, cost, err = ran(folder, "cost", "experiment.toml")
        assert code == 0, err
        assert len(server.requests()) == asked
    assert (
        "detection is counted by the packing that was measured: one context a request, asked yes"
        " or no." in " ".join(cost.split())
    )
    found = packings(folder)
    assert [key for key, row in found.items() if row["chosen"]] == [(1, "single")]
    assert found[1, "single"]["balanced"] == 1
    assert {row["balanced"] for key, row in found.items() if key[0] > 1} == {0.5}
    assert (
        "the judge of detection: one context a request, asked yes or no, balanced accuracy 1.000"
        in told
    )
    verdicts = read_rows(read_run(folder / "out").places("score"), "verdicts")
    assert {row["position"] for row in verdicts} == {0}
    assert "take care" not in told
    assert not any("Take care" in page for page in pages(folder))


def test_a_judge_that_says_yes_to_everything_is_named_wherever_its_scores_are_shown(folder):
    with serve(answer="yes") as server:
        told = judged(folder, server)
    [chosen] = [key for key, row in packings(folder).items() if row["chosen"]]
    assert chosen[0] == 25
    said = re.search(r"take care: The judge of detection said yes to all ([\d,]+) contexts", told)
    verdicts = read_rows(read_run(folder / "out").places("score"), "verdicts")
    assert int(said[1].replace(",", "")) == len(verdicts)
    for page in pages(folder):
        assert (
            f"said yes to all {said[1]} contexts that it was asked about; its scores measure"
            " nothing" in page
        )
        assert page.count("Take care.") == 1
    note = json.loads(read_run(folder / "out").part("packing.detection", 0).marker.read_text())
    assert note["tells"] is False


BROKEN = """
import sys
from gloss.cli import main
from gloss.score.detection import Detection

score, rules, alone = Detection.score, [], sys.argv.pop() == "alone"
def failing(self, explanation, *rest):
    rules.extend({explanation.text} - set(rules))
    if rules.index(explanation.text) == 2 and (self.contexts_per_question == 1) == alone:
        raise ZeroDivisionError("nobody divides")
    return score(self, explanation, *rest)
Detection.score = failing
main()
"""


def test_an_error_with_one_rule_does_not_end_the_measuring_and_the_next_run_measures_again(folder):
    with serve(answer="first word") as server:
        (folder / "experiment.toml").write_text(FEW + JUDGED.format(url=server.base_url))
        for fails, contexts, packing in (
            ("alone", 36, (25, "numbered")),
            ("packed", 48, (1, "single")),
        ):
            code, _, said = ran(folder, "explain", "experiment.toml", fails, code=BROKEN)
            assert code == 0, said
            assert (
                "packing.detection: 1 feature failed with ZeroDivisionError: nobody divides"
                in " ".join(said.split())
            )
            found = packings(folder)
            assert {row["n"] for row in found.values()} == {contexts}
            assert [key for key, row in found.items() if row["chosen"]] == [packing]
        assert "the judge of detection: 25 contexts a request" in judged(folder, server)
    assert {row["n"] for row in packings(folder).values()} == {48}
