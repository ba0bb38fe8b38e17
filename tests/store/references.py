"""References to the contexts of examples, as a run keeps them."""

from gloss.records import Examples
from gloss.store.stored_examples import (
    ROLES,
    ContextReferences,
    reference_table,
    references_by_feature,
)


def kept(examples: Examples) -> ContextReferences:
    """What is read again of the table that the contexts were written to."""
    contexts = {role: getattr(examples, role) for role in ROLES}
    chosen = {role: (each.starts, each.quantiles) for role, each in contexts.items()}
    references = ContextReferences.of(chosen, examples.train.tokens.shape[1])
    return references_by_feature(reference_table({examples.feature: references}))[examples.feature]
