"""Asks a language model with both kinds of evidence: where a feature fires, and what it makes the
subject say next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gloss.errors import BadSettings
from gloss.explain.max_activating import ContextPrompt, json_strings
from gloss.explain.output_tokens import reliable_rises
from gloss.records import Ability, Aspect, Examples, Needs


@dataclass(frozen=True)
class InputOutput(ContextPrompt):
    """Shows marked contexts as `max_activating` does, and the tokens that the feature promotes.

    Asks for one sentence on both. Where nothing is promoted beyond chance the prompt says so.
    """

    method: ClassVar[str] = "input_output"
    needs: ClassVar[Needs] = Needs(
        asks=(Ability.CHAT,), effects=True, about=(Aspect.INPUT, Aspect.OUTPUT)
    )
    # of either kind that is shown: promoted by the direction, risen when the feature was amplified
    tokens: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens < 1:
            raise BadSettings(
                f"input_output was given tokens={self.tokens}, wants at least 1; max_activating"
                " shows none"
            )

    def evidence(self, examples: Examples) -> Mapping[str, Any]:
        """The tokens that the direction promotes, and those that rose when it was amplified."""
        risen = [shift.text for shift in reliable_rises(examples.effects)]
        return {
            "promoted": json_strings(examples.output_tokens[: self.tokens]),
            "risen": json_strings(risen[: self.tokens]),
        }
