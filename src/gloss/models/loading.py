"""From a folder or a name to a model and its tokenizer; what cannot be loaded is refused in one sentence."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from gloss.errors import BadInput, BadSettings
from gloss.models.prompts import Message
from gloss.models.tokens import Tokens, load_tokens, read_json

DESCRIPTIONS = ["config.json", "tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "chat_template*"]


def load_model(
    path_or_name: str | Path, revision: str | None, dtype: torch.dtype | Literal["auto"]
) -> tuple[PreTrainedModel, Tokens]:
    """The model and tokenizer of a folder, or of the hub's repository of that name at a revision.

    Raises BadInput where there is none; BadSettings where a folder is asked for a revision.
    """
    local = is_path(path_or_name)
    if local and revision is not None:
        raise BadSettings(f"revision {revision!r} of the folder {path_or_name}: only models of the hub have revisions")
    folder = existing_folder(Path(path_or_name).expanduser()) if local else fetched_descriptions(str(path_or_name), revision)
    config = read_json(folder / "config.json")
    if "model_type" not in config:
        raise BadInput(f"{folder / 'config.json'} names no model_type: wanted the configuration of a transformers model")
    tokens = load_tokens(folder, config.get("bos_token_id"))
    return read_weights(folder if local else str(path_or_name), revision or "main", dtype), tokens


def read_weights(
    source: str | Path, revision: str, dtype: torch.dtype | Literal["auto"], kind: Any = AutoModelForCausalLM
) -> PreTrainedModel:
    """The model with its stored weights. Raises BadInput where some are missing: transformers would draw them at random."""
    progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loaded: Any = kind.from_pretrained(
            source, revision=revision, dtype=dtype, local_files_only=isinstance(source, Path), output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(f"the weights of {source} cannot be read: {reason}") from error
    finally:
        if progress:
            logging.enable_progress_bar()
    model, found = loaded
    if missing := sorted(key for key in found["missing_keys"] if not key.startswith("pooler.")):  # which nothing here reads
        raise BadInput(
            f"{source} lacks {len(missing)} of the model's weights, the first {missing[0]}; fetch or save the model anew"
        )
    return model


def load_chat_template(
    path_or_name: str | Path, revision: str | None, *, to_answer: bool = True
) -> Callable[[Sequence[Message]], str] | None:
    """How this model's chats are put as text, up to where its answer begins, or as they are where nobody is `to_answer`.

    None where its tokenizer has no template.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(path_or_name, revision=revision or "main")
    except (OSError, ValueError, KeyError, ImportError):  # a model can do without what transformers wants of a tokenizer
        return None
    if tokenizer.chat_template is None:
        return None

    def put(turns: Sequence[Message]) -> str:
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=to_answer)
        except TemplateError as problem:
            raise BadSettings(
                f"the chat template of {path_or_name} refuses such turns ({problem}); use another model"
            ) from problem

    return put


def is_path(path_or_name: str | Path) -> bool:
    """Whether this means a folder: a Path, something that exists, or anything that no model of the hub could be called.

    `models/mine` could be a name of the hub, and is a path if a folder `models` is here.
    """
    if isinstance(path_or_name, Path) or Path(path_or_name).expanduser().exists():
        return True
    parts = path_or_name.split("/")
    like_a_name = len(parts) <= 2 and all(parts) and "\\" not in path_or_name and parts[0] not in (".", "..", "~")
    return not like_a_name or (len(parts) == 2 and Path(parts[0]).exists())


def existing_folder(folder: Path) -> Path:
    """The folder itself. Raises BadInput where it is none that holds a model."""
    if not folder.exists():
        raise BadInput(f"{folder} does not exist: wanted the folder of a transformers model, or a model's name on the hub")
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file: wanted the folder of a transformers model, which holds config.json and the weights")
    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder} holds no config.json: wanted the folder of a transformers model")
    return folder


def fetched_descriptions(name: str, revision: str | None) -> Path:
    """A folder with everything of a hub's model but its weights. Raises BadInput where it cannot be had."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=DESCRIPTIONS))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(f"{name} is no folder here, and no model of that name could be had from the hub: {reason}") from error
    return existing_folder(folder)
