"""Adapters (PEFT): small weights that change a model's own, added to them when it is loaded."""

from pathlib import Path
from typing import Any

import torch

from gloss.errors import BadInput
from gloss.models.pretrained.quiet import silence_libraries
from gloss.models.structure.forward_pass import compute_logits
from gloss.models.structure.recording import probe_tokens
from gloss.models.structure.transformers_types import PreTrainedModel

ADAPTER_FILE = "adapter_config.json"
MOST_OFF = 0.05  # of the logits' norm; quantised weights round what is added to them


def merge_adapter(
    model: PreTrainedModel, folder: Path, name: str
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model of this `name` with an adapter's weights added to its own.

    With a sentence where the adapter names another model. Raises BadInput for a folder that holds
    no adapter, or one that does not fit or cannot be merged.
    """
    if not (folder / ADAPTER_FILE).is_file():
        raise BadInput(
            f"{folder} holds no {ADAPTER_FILE}: wanted the folder of an adapter that PEFT has saved"
        )
    try:
        import peft
    except ImportError as error:
        raise BadInput(
            f"{folder} is an adapter, which PEFT reads; install it: pip install 'gloss-lm[real]'"
        ) from error
    with silence_libraries(f"the adapter {folder} cannot be merged into {name}"):
        settings = peft.PeftConfig.from_pretrained(str(folder), local_files_only=True)
        if settings.is_prompt_learning:
            kind = getattr(settings.peft_type, "value", settings.peft_type)
            raise BadInput(
                f"the adapter {folder} ({kind}) puts vectors before the text; wanted one that"
                " changes weights, as LoRA"
            )
        remark = base_model_note(folder, str(settings.base_model_name_or_path or ""), name)
        weights = peft.utils.load_peft_weights(str(folder), device="cpu")
        wrapped: Any = peft.get_peft_model(model, settings)
        wanted: dict[str, Any] = peft.get_peft_model_state_dict(
            wrapped, save_embedding_layers=False
        )
        misfit = (
            f"the adapter {folder} does not fit {name}: it {{}}; give the model that it was"
            " trained on"
        )
        if missing := sorted(wanted.keys() - weights.keys()):
            raise BadInput(misfit.format(f"lacks {missing[0]}"))
        if unexpected := peft.set_peft_model_state_dict(wrapped, weights).unexpected_keys:
            raise BadInput(misfit.format(f"has {unexpected[0]}, for which there is no place"))
        return merge_and_compare(wrapped, folder), remark


@torch.no_grad()
def merge_and_compare(wrapped: Any, folder: Path) -> PreTrainedModel:
    """The model with the adapter in its weights.

    Raises BadInput where it then predicts something else. So it does where one matrix is two
    layers' and the adapter changes one of them, as an embedding that is the head, too.
    """
    inside: PreTrainedModel = wrapped.eval().get_base_model()
    tokens = probe_tokens(inside)
    before = compute_logits(inside, tokens).float()
    model: PreTrainedModel = wrapped.merge_and_unload()
    off = (compute_logits(model, tokens).float() - before).norm() / before.norm()
    if not off < MOST_OFF:
        raise BadInput(
            f"the adapter {folder} computes something else once it is merged (logits"
            f" {float(off):.0%} off), as where one matrix serves as embedding and as head; give a"
            " model that was saved with the adapter merged"
        )
    return model


def base_model_note(folder: Path, base: str, name: str) -> tuple[str, ...]:
    """A sentence where the model that an adapter names is not called like the one that it is added
    to.
    """
    if Path(base).name.lower() in name.lower():
        return ()
    return (f"the adapter {folder} says that it was trained on {base}, and it is added to {name}",)
