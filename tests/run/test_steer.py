"""`gloss steer` on the embedded model: what it prints, and what it refuses in one sentence."""

import math
import re
from pathlib import Path

import pytest
from small import ran

from gloss.errors import BadInput, BadSettings, GlossError, Mismatch
from gloss.run.commands.steer import SteeringSettings, print_steering
from gloss.run.sources import NamedFeature, feature_and_prompts

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = ("def main(", "import os")


def embedded(feature: int) -> NamedFeature:
    source, _ = feature_and_prompts(["embedded", "embedded", str(feature)])
    return source


def printed(
    capsys: pytest.CaptureFixture[str],
    steering: SteeringSettings,
    prompts: tuple[str, ...] = PROMPTS,
    feature: int = 100,
) -> str:
    print_steering(embedded(feature), prompts, steering)
    return capsys.readouterr().out


def columns(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in text.splitlines()
        if line.startswith("│")
    ]


def test_a_divergence_that_was_asked_for_is_reached_and_told_with_its_interval(
    capsys: pytest.CaptureFixture[str],
):
    told = printed(capsys, SteeringSettings(kl=1.0, new_tokens=6))
    found = re.search(
        r"KL\(clean ‖ steered\) = (\S+) nats \(asked for 1\), 95 % interval (\S+) to (\S+), n = 2"
        r" prompts, at strength \S+",
        told,
    )
    assert found, told
    value, low, high = map(float, found.groups())
    assert value == pytest.approx(1.0, rel=0.1)
    assert low <= value <= high
    assert "rises" in told
    assert "falls" in told
    assert "which chose them too" in told


def test_the_texts_stand_side_by_side_behind_their_prompts(capsys: pytest.CaptureFixture[str]):
    rows = columns(printed(capsys, SteeringSettings(strength=80.0, new_tokens=6)))
    first = next(row for row in rows if row[0].startswith("def main("))
    assert first[1].startswith("def main(")
    assert any(row[0] != row[1] for row in rows[:4])


def test_strength_0_writes_the_same_text_twice(capsys: pytest.CaptureFixture[str]):
    told = printed(capsys, SteeringSettings(strength=0.0, new_tokens=6))
    assert "= 0 nats, 95 % interval 0 to 0, n = 2 prompts, at strength 0" in told
    texts = columns(told)
    assert texts
    assert all(clean == steered for clean, steered in texts)


def test_it_prints_the_same_each_time(capsys: pytest.CaptureFixture[str]):
    assert printed(capsys, SteeringSettings(strength=80.0, new_tokens=4)) == printed(
        capsys, SteeringSettings(strength=80.0, new_tokens=4)
    )


def test_ablation_needs_no_strength(capsys: pytest.CaptureFixture[str]):
    told = printed(capsys, SteeringSettings("ablate", new_tokens=2), PROMPTS[:1])
    assert "no interval from one prompt" in told
    assert "strength" not in told


def test_the_control_is_shown_at_the_same_divergence(capsys: pytest.CaptureFixture[str]):
    told = printed(capsys, SteeringSettings(kl=0.33, new_tokens=2, control=True), PROMPTS[:1])
    reached = [float(value) for value in re.findall(r"= (\S+) nats \(asked for 0.33\)", told)]
    assert reached == pytest.approx([0.33, 0.33], rel=0.1)
    assert "control: a random direction" in told


@pytest.mark.parametrize(
    ("feature", "prompts", "kl", "kind", "said"),
    [
        (
            2048,
            PROMPTS,
            1.0,
            BadInput,
            "feature 2048: the dictionary has 2048 features; give one of 0 to 2047",
        ),
        (5, (), 1.0, BadInput, "there is no prompt to go on from, or an empty one; give a text"),
        (
            5,
            ("def", ""),
            1.0,
            BadInput,
            "there is no prompt to go on from, or an empty one; give a text",
        ),
        (
            5,
            PROMPTS,
            500.0,
            BadSettings,
            (
                "feature 5 cannot be brought to 500 nats: no more than .* were reached, at"
                " strengths of up to"
            ),
        ),
        (
            5,
            PROMPTS,
            0.0,
            BadSettings,
            "a target of 0 nats cannot be calibrated to; give a number above 0",
        ),
        (
            5,
            ("x = " * 200,),
            1.0,
            Mismatch,
            "sequences of .* positions: this model takes at most 256; cut them",
        ),
    ],
)
def test_what_cannot_be_steered_is_said(
    feature: int, prompts: tuple[str, ...], kl: float, kind: type[GlossError], said: str
):
    with pytest.raises(kind, match=said):
        print_steering(embedded(feature), prompts, SteeringSettings(kl=kl))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give one of --strength, in units of the feature's activation, and --kl, in nats"),
        ({"strength": 1.0, "kl": 1.0}, "give one of --strength"),
        (
            {"edit": "ablate", "kl": 1.0},
            "ablate takes the feature away and has no strength; leave --kl out",
        ),
        ({"edit": "remove"}, "--edit remove: there is no such edit; choose add, set or ablate"),
        ({"strength": 1.0, "control": True}, "give --kl with --control"),
        ({"strength": 1.0, "new_tokens": 0}, "--tokens 0: wanted at least 1"),
        *(
            ({"strength": given}, "--strength is .*; give a number of 1e\\+12 at most")
            for given in (1e39, -1e308, math.inf, math.nan)
        ),
    ],
)
def test_settings_that_do_not_go_together_are_said(settings: dict[str, object], said: str):
    with pytest.raises(BadSettings, match=said):
        SteeringSettings(**settings)


def test_the_command_prints_one_sentence_and_exits_with_2(tmp_path: Path):
    code, _, said = ran(tmp_path, *["steer", "embedded", "embedded", "2048", "x", "--kl", "1"])
    assert code == 2
    assert said == "gloss: feature 2048: the dictionary has 2048 features; give one of 0 to 2047\n"
