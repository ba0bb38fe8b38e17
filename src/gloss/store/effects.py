"""Effects of interventions as rows of Parquet, and back."""

from collections.abc import Iterable
from dataclasses import asdict

from gloss.records import Completion, Control, Deed, Effect, Estimate, Shift, Split
from gloss.store.results import Row, feature_of, identity

PLAIN = ("target", "strength", "passes", "n", "choosing")


def effect_row(effect: Effect) -> Row:
    return identity(effect.feature) | {
        "split": str(effect.split),
        "control": str(effect.control),
        "deed": str(effect.deed),
        "divergence": asdict(effect.divergence),
        "risen": [asdict(shift) for shift in effect.risen],
        "fallen": [asdict(shift) for shift in effect.fallen],
        "ranking": list(effect.ranking),
        "completions": [asdict(pair) for pair in effect.completions],
        **{name: getattr(effect, name) for name in PLAIN},
    }


def effect_of(row: Row) -> Effect:
    return Effect(
        feature=feature_of(row),
        deed=Deed(row["deed"]),
        divergence=Estimate(**row["divergence"]),
        risen=shifts_of(row["risen"]),
        fallen=shifts_of(row["fallen"]),
        completions=tuple(Completion(**pair) for pair in row["completions"]),
        control=Control(row["control"]),
        split=Split(row["split"]),
        ranking=tuple(row["ranking"]),
        **{name: row[name] for name in PLAIN},
    )


def shifts_of(rows: Iterable[Row]) -> tuple[Shift, ...]:
    return tuple(Shift(row["token"], row["text"], Estimate(**row["change"]), row["clean"], row["edited"]) for row in rows)
