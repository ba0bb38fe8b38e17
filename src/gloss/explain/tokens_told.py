"""Says in words which tokens a feature makes likelier; each stands as a JSON string between backticks, blanks and all."""

from collections.abc import Sequence

from gloss.models.marks import quoted


def raises(tokens: Sequence[str]) -> str:
    """One sentence without an end: raises the probability that the next token is `" a"` or `" b"`."""
    named = [f"`{quoted(token)}`" for token in tokens]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
    return f"raises the probability that the next token is {listed}"
