"""The columns of every table of records."""

from collections.abc import Mapping

import pyarrow as pa

FEATURE = [("dictionary", pa.string()), ("feature", pa.int64())]
ESTIMATES = pa.list_(pa.struct([("metric", pa.string()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]))
WEIGHTED_TOKENS = pa.list_(pa.struct([("token", pa.string()), ("value", pa.float32())]))

ESTIMATE = pa.struct([("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())])
SHIFTS = pa.list_(
    pa.struct(
        [("token", pa.int64()), ("text", pa.string()), ("change", ESTIMATE), ("clean", pa.float64()), ("edited", pa.float64())]
    )
)

SCHEMAS: Mapping[str, pa.Schema] = {
    "features": pa.schema(
        [
            *FEATURE,
            ("top_tokens", WEIGHTED_TOKENS),  # whose logits the feature raises, strongest first
            ("bottom_tokens", WEIGHTED_TOKENS),
            ("chance_logit", pa.float32()),  # that the first token of one random direction in a hundred exceeds
            ("neighbours", pa.list_(pa.struct([("feature", pa.int64()), ("cosine", pa.float32())]))),
        ]
    ),
    "neighbours": pa.schema(
        [*FEATURE, ("neighbours", pa.list_(pa.struct([("feature", pa.int64()), ("closeness", pa.float32())])))]
    ),
    "effects": pa.schema(
        [
            *FEATURE,
            ("split", pa.string()),
            ("control", pa.string()),
            ("deed", pa.string()),
            ("target", pa.float64()),  # nats
            ("strength", pa.float64()),
            ("divergence", ESTIMATE),  # nats
            ("passes", pa.int64()),
            ("n", pa.int64()),
            ("choosing", pa.int64()),
            ("risen", SHIFTS),
            ("fallen", SHIFTS),
            ("ranking", pa.list_(pa.int32())),
            ("completions", pa.list_(pa.struct([("prompt", pa.string()), ("clean", pa.string()), ("edited", pa.string())]))),
        ]
    ),
    "reasons": pa.schema(
        [
            *FEATURE,
            ("context", pa.int64()),  # global index of its first position
            ("peak", pa.int64()),  # and of the token at which the feature is strongest
            ("offsets", pa.list_(pa.int32())),  # of the tokens that are kept together, from the peak; empty for none of them
            ("tokens", pa.list_(pa.string())),  # what these say
            ("value", pa.float64()),  # that they add to the activation
            ("share", pa.float64()),  # of the variation over masks that all sets of this context account for
            ("players", pa.list_(pa.string())),  # the tokens up to the peak that were kept or not, that one last
            ("n", pa.int64()),  # masks
        ]
    ),
    "explanations": pa.schema(
        [*FEATURE, ("text", pa.string()), ("method", pa.string()), ("rule", pa.string()), ("prompt_hash", pa.string())]
    ),
    "candidates": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),  # of the explainer that chose
            ("candidate", pa.int64()),  # in the order in which they were made
            ("text", pa.string()),
            ("rule", pa.string()),
            ("chosen", pa.bool_()),
            ("scorer", pa.string()),
            ("headline", pa.string()),  # on the selection split, and its value there
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
            ("reason", pa.string()),  # why there is no score
        ]
    ),
    "failures": pa.schema([*FEATURE, *((name, pa.string()) for name in ("stage", "reason", "detail", "explained_by"))]),
    "scores": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),
            ("explained_by", pa.string()),
            ("control", pa.string()),
            ("headline", pa.string()),
            ("value", pa.float64()),  # of the headline, so that a query need not unpack the estimates
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
            ("place", pa.int64()),  # in its question
        ]
    ),
    "anchors": pa.schema(
        [
            ("method", pa.string()),
            ("rule", pa.string()),
            *((f"{side}_{answer}", pa.int64()) for side in ("covered", "others") for answer in ("yes", "no", "failed")),
        ]
    ),
    "packings": pa.schema(
        [
            ("method", pa.string()),
            ("contexts", pa.int64()),  # in a request at most
            ("form", pa.string()),
            ("chosen", pa.bool_()),
            *((name, pa.int64()) for name in ("n", "failed", "yes")),
            *((f"{metric}{end}", pa.float64()) for metric in ("balanced", "auroc") for end in ("", "_low", "_high")),
            *((name, pa.int64()) for name in ("requests", "prompt_tokens", "completion_tokens")),
        ]
    ),
    "examples": pa.schema(
        [*FEATURE, ("role", pa.string()), ("context", pa.int64()), ("quantile", pa.int64()), ("width", pa.int64())]
    ),
}  # fmt: skip
