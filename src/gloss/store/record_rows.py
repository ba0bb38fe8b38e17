"""Records as rows of tables, and back: one function a kind of record and a direction."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from gloss.records import (
    Completion,
    Control,
    EditKind,
    Effect,
    Estimate,
    Explanation,
    ExplanationCandidate,
    Failure,
    FeatureId,
    Reason,
    Score,
    Shift,
    Split,
    Verdict,
)
from gloss.store.results import Row

# columns of an effect that hold what its attributes hold
EFFECT_COLUMNS = ("target", "strength", "passes", "n", "choosing")


def feature_columns(feature: FeatureId) -> Row:
    """The two columns that name a feature."""
    return {"dictionary": feature.dictionary, "feature": feature.index}


def explanation_row(explanation: Explanation) -> Row:
    return feature_columns(explanation.feature) | {
        "text": explanation.text,
        "method": explanation.method,
        "rule": explanation.rule,
        "prompt_hash": explanation.prompt_hash,
    }


def explanation_from_row(row: Row) -> Explanation:
    return Explanation(
        feature_from_row(row), row["text"], row["method"], row["rule"], row["prompt_hash"]
    )


def candidate_rows(candidates: Sequence[ExplanationCandidate], method: str) -> Iterator[Row]:
    """The candidates of one feature, with the name in the run of the explainer that chose among
    them, and the method that made each.
    """
    for number, candidate in enumerate(candidates):
        found, explanation = candidate.validation, candidate.explanation
        row = feature_columns(explanation.feature) | {
            "method": method,
            "candidate": number,
            "chosen": candidate.chosen,
        }
        row |= {
            "explained_by": explanation.method,
            "text": explanation.text,
            "rule": explanation.rule,
        }
        if isinstance(found, Failure):
            yield row | {"reason": str(found.reason)}
        else:
            scored = score_row(found)
            yield (
                row
                | {"scorer": found.method}
                | {
                    name: scored[name]
                    for name in ("headline", "value", "low", "high", "n", "failed")
                }
            )


def failure_row(failure: Failure) -> Row:
    plain = {name: getattr(failure, name) for name in ("stage", "detail", "explained_by")}
    return feature_columns(failure.feature) | plain | {"reason": str(failure.reason)}


def failure_from_row(row: Row) -> Failure:
    return Failure(
        feature_from_row(row),
        row["stage"],
        Reason(row["reason"]),
        row["detail"],
        row.get("explained_by") or "",
    )


def score_row(score: Score) -> Row:
    first = score.estimates[score.headline]
    estimates = [
        {"metric": name, "value": e.value, "low": e.low, "high": e.high}
        for name, e in score.estimates.items()
    ]
    return score_key_columns(score) | {
        "headline": score.headline,
        "value": first.value,
        "low": first.low,
        "high": first.high,
        "n": score.n,
        "failed": score.failed,
        "estimates": estimates,
        "spared": score.spared,
    }


def score_from_row(row: Row, verdicts: tuple[Verdict, ...] = ()) -> Score:
    estimates = {e["metric"]: Estimate(e["value"], e["low"], e["high"]) for e in row["estimates"]}
    control = Control(row["control"])
    return Score(
        feature_from_row(row),
        row["method"],
        row["explained_by"],
        row["n"],
        row["failed"],
        estimates,
        row["headline"],
        control,
        verdicts,
        row.get("spared") or 0,
    )


def verdict_rows(score: Score) -> Iterator[Row]:
    for verdict in score.verdicts:
        yield score_key_columns(score) | {
            "context": verdict.context,
            "truth": verdict.truth,
            "answer": verdict.answer,
            "reason": verdict.reason and str(verdict.reason),
            "probability": verdict.probability,
            "question": verdict.question,
            "position": verdict.position,
        }


def verdict_from_row(row: Row) -> Verdict:
    """The verdict; parts of a time before positions were kept have none."""
    return Verdict(
        row["context"],
        row["truth"],
        row["answer"],
        row["reason"] and Reason(row["reason"]),
        row["probability"],
        row.get("question"),
        row.get("position"),
    )


def score_key_columns(score: Score) -> Row:
    return feature_columns(score.feature) | {
        "method": score.method,
        "explained_by": score.explained_by,
        "control": str(score.control),
    }


def feature_from_row(row: Row) -> FeatureId:
    return FeatureId(row["dictionary"], row["feature"])


def effect_row(effect: Effect) -> Row:
    return feature_columns(effect.feature) | {
        "split": str(effect.split),
        "control": str(effect.control),
        "edit": str(effect.edit),
        "kl": asdict(effect.kl),
        "risen": [asdict(shift) for shift in effect.risen],
        "fallen": [asdict(shift) for shift in effect.fallen],
        "ranking": list(effect.ranking),
        "completions": [asdict(pair) for pair in effect.completions],
        **{name: getattr(effect, name) for name in EFFECT_COLUMNS},
    }


def effect_from_row(row: Row) -> Effect:
    return Effect(
        feature=feature_from_row(row),
        edit=EditKind(row["edit"]),
        kl=Estimate(**row["kl"]),
        risen=shifts_from_rows(row["risen"]),
        fallen=shifts_from_rows(row["fallen"]),
        completions=tuple(Completion(**pair) for pair in row["completions"]),
        control=Control(row["control"]),
        split=Split(row["split"]),
        ranking=tuple(row["ranking"]),
        **{name: row[name] for name in EFFECT_COLUMNS},
    )


def shifts_from_rows(rows: Iterable[Row]) -> tuple[Shift, ...]:
    return tuple(
        Shift(row["token"], row["text"], Estimate(**row["change"]), row["clean"], row["edited"])
        for row in rows
    )
