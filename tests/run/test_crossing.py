"""Runs in which explainers, samples and judges are crossed: real servers, and who asks which."""

from small import SMALL, ran

from gloss.models.chat_models.ledger import Ledger
from gloss.run.chat_capabilities import ledger_path
from gloss.run.planning import read_run
from gloss.store.results import read_rows
from models.servers import serve

# The servers call their models by one name.
TWO_JUDGES = """
[explain]
method = "max_activating"
chat = "large"

[[score]]
method = "detection"
chat = "large"

[[score]]
method = "detection"
name = "by-small"
chat = "small"

[chat]
model = "m"
max_attempts = 2

[chat.large]
base_url = "{large}"

[chat.small]
base_url = "{small}"
most_unreadable = 1.0

[judge]
packing = 8
"""


def test_explainer_and_judges_are_different_models_and_another_judge_costs_itself_alone(folder):
    with serve(answer="reader") as large, serve(answer="perfect") as small:
        asked = TWO_JUDGES.format(large=large.base_url, small=small.base_url)
        (folder / "e.toml").write_text(SMALL + asked)
        code, told, err = ran(folder, "probe", "e.toml")
        assert code == 0, err
        assert "large m" in told
        assert "small m" in told
        code, told, err = ran(folder, "run", "e.toml")
        assert code == 0, err
        plan = read_run(folder / "out")
        by_large, by_small = (
            ["Explanation: " in one["prompt"] for one in server.requests()]
            for server in (large, small)
        )
        assert all(by_small)
        assert not all(by_large)
        assert {row["method"] for row in read_rows(plan.places("packing"), "packings")} == {
            "detection.large",
            "detection.small",
        }
        values = {
            row["method"]: row["value"]
            for row in read_rows(plan.places("score"), "scores")
            if row["control"] == "none"
        }
        assert set(values) == {"detection", "by-small"}
        with Ledger(ledger_path(plan.folder)) as ledger:
            spent = {one.model: one.requests for one in ledger.spending_by_model()}
        assert set(spent) == {f"m at {large.base_url}", f"m at {small.base_url}"}
        before = len(large.requests())
        with serve(answer="fixed", text="no") as smaller:
            changed = asked.replace(small.base_url, smaller.base_url)
            (folder / "e.toml").write_text(SMALL + changed)
            code, _, err = ran(folder, "run", "e.toml")
            assert code == 0, err
            assert len(smaller.requests()) > 0
        assert len(large.requests()) == before
    changed_keys = read_run(folder / "out").keys
    assert {name for name in plan.keys if plan.keys[name] != changed_keys[name]} == {
        "packing.detection.small",
        "score.by-small",
    }
