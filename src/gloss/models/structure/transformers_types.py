"""Names of transformers' types for annotations.

Importing the library takes seconds, so only what loads weights does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
else:
    Cache = PreTrainedConfig = PreTrainedModel = PreTrainedTokenizerBase = Any

__all__ = ["Cache", "PreTrainedConfig", "PreTrainedModel", "PreTrainedTokenizerBase"]
