"""The columns of every table of records."""

import pyarrow as pa

FEATURE = [("dictionary", pa.string()), ("feature", pa.int64())]
ESTIMATES = pa.list_(
    pa.struct(
        [
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
        ]
    )
)
WEIGHTED_TOKENS = pa.list_(pa.struct([("token", pa.string()), ("value", pa.float32())]))

ESTIMATE = pa.struct([("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())])
SHIFTS = pa.list_(
    pa.struct(
        [
            ("token", pa.int64()),
            ("text", pa.string()),
            ("change", ESTIMATE),
            ("clean", pa.float64()),
            ("edited", pa.float64()),
        ]
    )
)

SHOWN = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int64()), ("text", pa.string())]))

SCHEMAS: dict[str, pa.Schema] = {
    "features": pa.schema(
        [
            *FEATURE,
            # whose logits the feature raises, strongest first
            ("promoted_tokens", WEIGHTED_TOKENS),
            ("suppressed_tokens", WEIGHTED_TOKENS),
            # that the first token of one random direction in a hundred exceeds
            ("chance_logit", pa.float32()),
            (
                "neighbours",
                pa.list_(pa.struct([("feature", pa.int64()), ("cosine", pa.float32())])),
            ),
        ]
    ),
    "neighbours": pa.schema(
        [
            *FEATURE,
            (
                "neighbours",
                pa.list_(pa.struct([("feature", pa.int64()), ("closeness", pa.float32())])),
            ),
        ]
    ),
    "effects": pa.schema(
        [
            *FEATURE,
            ("split", pa.string()),
            ("control", pa.string()),
            ("edit", pa.string()),
            ("target", pa.float64()),  # nats
            ("strength", pa.float64()),
            ("kl", ESTIMATE),  # nats
            ("passes", pa.int64()),
            ("n", pa.int64()),
            ("choosing", pa.int64()),
            ("risen", SHIFTS),
            ("fallen", SHIFTS),
            ("ranking", pa.list_(pa.int32())),
            (
                "completions",
                pa.list_(
                    pa.struct(
                        [("prompt", pa.string()), ("clean", pa.string()), ("edited", pa.string())]
                    )
                ),
            ),
        ]
    ),
    "token_attributions": pa.schema(
        [
            *FEATURE,
            ("context", pa.int64()),  # global index of its first position
            ("peak", pa.int64()),  # and of the token at which the feature is strongest
            # of the tokens that are kept together, from the peak; empty for none of them
            ("offsets", pa.list_(pa.int32())),
            ("tokens", pa.list_(pa.string())),  # what these say
            ("value", pa.float64()),  # that they add to the activation
            # of the variation over masks that all sets of this context account for
            ("share", pa.float64()),
            # the tokens up to the peak that were kept or not, that one last
            ("players", pa.list_(pa.string())),
            ("n", pa.int64()),  # masks
        ]
    ),
    "explanations": pa.schema(
        [
            *FEATURE,
            ("text", pa.string()),
            ("method", pa.string()),
            ("rule", pa.string()),
            ("prompt_hash", pa.string()),
        ]
    ),
    "candidates": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),  # of the explainer that chose
            ("candidate", pa.int64()),  # in the order in which they were made
            ("explained_by", pa.string()),  # the method that made it
            ("text", pa.string()),
            ("rule", pa.string()),
            ("chosen", pa.bool_()),
            ("scorer", pa.string()),
            ("headline", pa.string()),  # on the validation split, and its value there
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
            ("reason", pa.string()),  # why there is no score
        ]
    ),
    "failures": pa.schema(
        [*FEATURE, *((name, pa.string()) for name in ("stage", "reason", "detail", "explained_by"))]
    ),
    "scores": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),
            ("explained_by", pa.string()),
            ("control", pa.string()),
            ("headline", pa.string()),
            # of the headline, so that a query need not unpack the estimates
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
            ("estimates", ESTIMATES),
            ("spared", pa.int64()),  # requests
        ]
    ),
    "collisions": pa.schema(
        [
            *FEATURE,
            ("other", pa.int64()),  # a feature of the same dictionary
            ("explained_by", pa.string()),
            ("collides", pa.bool_()),
            ("same_words", pa.bool_()),
            ("value", pa.float64()),  # how often the two were told apart; .5 is guessing
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
        ]
    ),
    "collision_groups": pa.schema(
        [*FEATURE, ("explained_by", pa.string()), ("group", pa.int64()), ("size", pa.int64())]
    ),
    "verdicts": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),
            ("explained_by", pa.string()),
            ("control", pa.string()),
            ("context", pa.int64()),
            ("truth", pa.bool_()),
            ("answer", pa.bool_()),
            ("reason", pa.string()),
            ("probability", pa.float64()),
            ("question", pa.int64()),
            ("position", pa.int64()),  # in its question
        ]
    ),
    "label_verdicts": pa.schema(
        [
            *FEATURE,
            *((name, pa.string()) for name in ("explained_by", "text", "rule")),
            ("read_as", pa.string()),  # the rule that plain words were read as, and run
            *((name, pa.string()) for name in ("verdict", "reason")),
            ("near", pa.bool_()),  # about the right thing, where more cannot be told
            ("scorer", pa.string()),  # whose score decided
            *((name, ESTIMATE) for name in ("precision", "recall", "score")),
            ("control", pa.float64()),  # the highest upper bound of the score under controls
            ("base_rate", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
            ("beside", pa.list_(pa.string())),  # what other scores say
            ("flags", pa.list_(pa.string())),  # what the label names and no text holds
            ("contexts", SHOWN),  # that show why
        ]
    ),
    "calibration_items": pa.schema(
        [
            ("method", pa.string()),
            ("rule", pa.string()),
            *(
                (f"{side}_{answer}", pa.int64())
                for side in ("covered", "others")
                for answer in ("yes", "no", "failed")
            ),
        ]
    ),
    "packings": pa.schema(
        [
            ("method", pa.string()),
            ("contexts", pa.int64()),  # in a request at most
            ("form", pa.string()),
            ("chosen", pa.bool_()),
            *((name, pa.int64()) for name in ("n", "failed", "yes")),
            *(
                (f"{metric}{end}", pa.float64())
                for metric in ("balanced", "auroc")
                for end in ("", "_low", "_high")
            ),
            *((name, pa.int64()) for name in ("requests", "prompt_tokens", "completion_tokens")),
        ]
    ),
    "examples": pa.schema(
        [
            *FEATURE,
            ("role", pa.string()),
            ("sample", pa.string()),  # of train contexts; empty where it is the same for all
            ("context", pa.int64()),
            ("quantile", pa.int64()),
            ("width", pa.int64()),
        ]
    ),
    "feature_facts": pa.schema(
        [
            *FEATURE,
            ("strongest", pa.float64()),  # activation in the train split
            ("share_train", pa.float64()),  # of the split's windows, in which it fires
            ("share_held_out", pa.float64()),
            ("top_tokens", pa.list_(pa.int64())),  # at which it fires most often in the train split
            ("share_near", pa.float64()),  # of the train split's inactive windows, with one of them
        ]
    ),
}


def register_table(name: str, schema: pa.Schema) -> None:
    """Make a table known by the columns that its stage gives it.

    Raises ValueError where a table of that name has other columns.
    """
    if SCHEMAS.setdefault(name, schema) != schema:
        raise ValueError(f"the table {name} has other columns already; give it another name")


def named_tables(*names: str) -> dict[str, pa.Schema]:
    """Some of the tables of records, by name."""
    return {name: SCHEMAS[name] for name in names}
