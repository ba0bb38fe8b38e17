"""Adapters (PEFT): small weights that change a model's own, added to them when it is loaded."""

import warnings
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from gloss.errors import BadInput

FILE = "adapter_config.json"


def merged(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with an adapter's weights added to its own. Raises BadInput for a folder that holds none that fits."""
    if not (folder / FILE).is_file():
        raise BadInput(f"{folder} holds no {FILE}: wanted the folder of an adapter that PEFT has saved")
    try:
        import peft
    except ImportError as error:
        raise BadInput(f"{folder} is an adapter, which PEFT reads; install it: pip install 'gloss[real]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            settings = peft.PeftConfig.from_pretrained(str(folder), local_files_only=True)
            weights = peft.utils.load_peft_weights(str(folder), device="cpu")
            wrapped: Any = peft.get_peft_model(model, settings)
            found: Any = peft.set_peft_model_state_dict(wrapped, weights)
            kind = str(getattr(settings.peft_type, "value", settings.peft_type)).lower()
            missing = [key for key in found.missing_keys if kind in key.lower()]
            if missing or found.unexpected_keys:
                wrong = f"lacks {missing[0]}" if missing else f"has {found.unexpected_keys[0]}, for which there is no place"
                raise BadInput(f"the adapter {folder} does not fit the model: it {wrong}; give the model that it was trained on")
            return wrapped.merge_and_unload()
    except BadInput:
        raise
    except Exception as error:  # an adapter's settings reach all of PEFT, which raises anything
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"the adapter {folder} cannot be merged into the model ({type(error).__name__}: {reason}); "
            "give the model that it was trained on"
        ) from error
