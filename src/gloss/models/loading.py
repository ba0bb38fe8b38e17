"""From a folder, a GGUF file or a name to a model and its tokenizer; what cannot be loaded is refused in one sentence."""

import io
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from logging import CRITICAL
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jinja2 import TemplateError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from gloss.errors import BadInput, BadSettings, GlossError
from gloss.models.adapters import FILE as ADAPTER
from gloss.models.adapters import merged
from gloss.models.gguf_files import read_once
from gloss.models.machine import AUTO
from gloss.models.placement import TYPES, Speed, speed
from gloss.models.prompts import Message
from gloss.models.soundness import (
    Rows,
    input_rows,
    refuse_contradictions,
    refuse_larger_than_its_weights,
    refuse_not_finite,
    tried,
)
from gloss.models.special import ROLES, Special
from gloss.models.tokens import Tokens, load_tokens, read_json

DESCRIPTIONS = ["config.json", "tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "chat_template*"]
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
GGUF = ".gguf"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to be read, what people should know of it, and what was measured to choose its type."""

    model: PreTrainedModel
    tokens: Tokens
    notes: tuple[str, ...] = ()
    speed: Speed | None = None


def load_model(
    path_or_name: str | Path,
    revision: str | None,
    dtype: torch.dtype | None,
    device: torch.device,
    adapter: str | Path | None = None,
    measure: bool = False,
) -> Loaded:
    """The model and tokenizer of a folder, of a GGUF file, or of the hub's repository of that name at a revision.

    Without a `dtype`, an accelerator computes in the type that the weights are stored in, and a CPU in float32; or, to `measure`,
    in the stored type where one layer turns out to be faster by far in it.

    Raises BadInput where there is no model, or one whose parts contradict each other; BadSettings where a folder is asked for a
    revision.
    """
    source = source_of(path_or_name, revision)
    with read_once() if source.file else nullcontext():
        return of_source(source, dtype, device, adapter, measure)


def of_source(
    source: "Source", dtype: torch.dtype | None, device: torch.device, adapter: str | Path | None, measure: bool
) -> Loaded:
    """The model of a place that is known; see `load_model`."""
    path_or_name, config = source.given, source.config
    tokens = source.tokens(config)
    quantised = getattr(config, "quantization_config", None) is not None
    with quiet(f"{path_or_name} cannot be made into a model"):
        if source.stored is not None:
            refuse_larger_than_its_weights(config, source.stored, str(path_or_name))
    wanted: torch.dtype | str = dtype or (torch.float32 if device.type == "cpu" and not quantised else AUTO)
    model, notes = source.weights(wanted, device)
    with quiet(f"{path_or_name} cannot be made into a model"):
        rows = input_rows(model)
        stored = TYPES.get(str(getattr(config, "dtype", "")).removeprefix("torch."))
        measured = None
        if measure and dtype is None and wanted is torch.float32 and stored in (torch.bfloat16, torch.float16):
            measured = speed(model, stored, rows)
            if measured is not None and measured.faster:
                model, notes = source.weights(stored, device)
        if adapter is not None:
            model = merged(model, Path(adapter).expanduser())
        if not quantised:
            nn.Module.to(model, device)
        refuse_not_finite(model, str(path_or_name))
        tokens, told = Rows(rows, str(path_or_name)).fitted(tokens)
        notes += told + tried(model.eval(), tokens, str(path_or_name))
    return Loaded(model, tokens, notes, measured)


@dataclass(frozen=True)
class Source:
    """Where a model comes from: a folder here, one GGUF file, or a name on the hub with a folder of all but the weights."""

    given: str | Path
    folder: Path
    file: str = ""  # of the folder, where one file holds everything
    revision: str | None = None  # of the hub

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration. Raises BadInput where there is none."""
        if not self.file:
            described = read_json(self.folder / "config.json")
            if "model_type" not in described:
                raise BadInput(
                    f"{self.folder / 'config.json'} names no model_type: wanted the configuration of a transformers model"
                )
        with quiet(f"{self.given} has a configuration that cannot be read"):
            return AutoConfig.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False, **self.in_one_file)

    @property
    def in_one_file(self) -> dict[str, str]:
        """What transformers is told of a GGUF file."""
        return {"gguf_file": self.file} if self.file else {}

    @property
    def stored(self) -> int | None:
        """How many bytes of weights there are, where they are here."""
        if self.file:
            return (self.folder / self.file).stat().st_size
        if not self.is_here:
            return None
        return sum(file.stat().st_size for pattern in WEIGHTS for file in self.folder.glob(pattern)) or None

    @property
    def is_here(self) -> bool:
        """Whether the weights are on this machine."""
        return isinstance(self.given, Path)

    def tokens(self, config: PreTrainedConfig) -> Tokens:
        """The tokenizer. Raises BadInput where there is none that can be read."""
        if not self.file:
            with quiet(f"{self.given} has a tokenizer that cannot be read"):
                return load_tokens(self.folder, getattr(config, "bos_token_id", None))
        tokenizer: Any = self.tokenizer()
        backend, named = tokenizer.backend_tokenizer, {role: getattr(tokenizer, role) for role in ROLES}
        return Tokens(backend, tokenizer.bos_token_id, Special.of(backend, named, tokenizer.chat_template))

    def tokenizer(self) -> Any:
        """The tokenizer of transformers, which knows the template of chats. Raises BadInput."""
        with quiet(f"{self.given} has a tokenizer that cannot be read"):
            if self.file:
                return PreTrainedTokenizerFast.from_pretrained(self.folder, gguf_file=self.file, local_files_only=True)
            return AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)

    def weights(self, dtype: torch.dtype | str, device: torch.device) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The model with its weights, those of a GGUF file unpacked. Raises BadInput."""
        settings: dict[str, Any] = dict(self.in_one_file)
        if self.file:
            from transformers import GgufConfig

            settings["quantization_config"] = GgufConfig(dequantize=True)
        elif getattr(self.config, "quantization_config", None) is not None and device.type != "cpu":
            settings["device_map"] = {"": device}  # quantised weights cannot be moved afterwards
        where = self.folder if self.is_here else str(self.given)
        return read_weights(where, self.revision or "main", dtype, config=self.config, **settings)


def source_of(path_or_name: str | Path, revision: str | None) -> Source:
    """Where this model is. Raises BadInput where it is nowhere, BadSettings where a folder is asked for a revision."""
    if not is_path(path_or_name):
        return Source(str(path_or_name), fetched_descriptions(str(path_or_name), revision), "", revision)
    if revision is not None:
        raise BadSettings(f"revision {revision!r} of the folder {path_or_name}: only models of the hub have revisions")
    path = Path(path_or_name).expanduser()
    if path.suffix == GGUF and path.is_file():
        return Source(path, path.parent, path.name)
    return Source(path, existing_folder(path))


@contextmanager
def quiet(failed: str) -> Generator[None]:
    """Keep transformers' reports, progress and warnings from the terminal.

    Whatever is raised becomes BadInput that begins with `failed`: a stranger's files reach all of transformers, torch and
    tokenizers, which raise anything.
    """
    progress, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except GlossError:
        raise
    except UnpicklingError as error:
        raise BadInput(
            f"{failed}: they are pickled with more than tensors, which could run as code; save them as safetensors"
        ) from error
    except ImportError as error:
        raise BadInput(f"{failed} without another library: {reason_of(error)}") from error
    except Exception as error:
        raise BadInput(f"{failed}: {reason_of(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()


def reason_of(error: BaseException) -> str:
    """An error's first cause in one line, with its kind where it says little by itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2])[:300]
    return said if isinstance(error, OSError | ValueError | ImportError) and said else f"{type(error).__name__} {said}".strip()


def read_weights(
    source: str | Path, revision: str, dtype: torch.dtype | str, kind: Any = AutoModelForCausalLM, **settings: Any
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model with its stored weights, and what people should know of them.

    Raises BadInput where some are missing, since transformers would draw them at random, or contradict the configuration.
    """
    with quiet(f"the weights of {source} cannot be read"):
        model, found = kind.from_pretrained(
            source,
            revision=revision,
            dtype=dtype,
            local_files_only=isinstance(source, Path),
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **settings,
        )
    return model, refuse_contradictions(found, model, str(source))


def load_chat_template(
    path_or_name: str | Path, revision: str | None, *, to_answer: bool = True
) -> Callable[[Sequence[Message]], str] | None:
    """How this model's chats are put as text, up to where its answer begins, or as they are where nobody is `to_answer`.

    None where its tokenizer has no template.
    """
    try:
        tokenizer: Any = source_of(path_or_name, revision).tokenizer()
    except BadInput:  # a model can do without what transformers wants of a tokenizer
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
    """Whether this means a file or folder: a Path, what exists, or anything that no model of the hub could be called.

    `models/mine` could be a name of the hub, and is a path if a folder `models` is here.
    """
    if isinstance(path_or_name, Path) or path_or_name.endswith(GGUF):
        return True
    try:
        if Path(path_or_name).expanduser().exists():
            return True
    except (OSError, RuntimeError) as error:  # a name that is too long, a home that nobody has
        raise BadInput(f"{path_or_name[:80]} is no path and no model's name: {reason_of(error)}") from error
    parts = path_or_name.split("/")
    like_a_name = len(parts) <= 2 and all(parts) and "\\" not in path_or_name and parts[0] not in (".", "..", "~")
    return not like_a_name or (len(parts) == 2 and Path(parts[0]).exists())


def existing_folder(folder: Path) -> Path:
    """The folder itself. Raises BadInput where it is none that holds a model."""
    if not folder.exists():
        raise BadInput(f"{folder} does not exist: wanted the folder of a transformers model, or a model's name on the hub")
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is a file: wanted the folder of a transformers model, with config.json and the weights, or a GGUF file"
        )
    if (folder / ADAPTER).is_file():
        base = read_json(folder / ADAPTER).get("base_model_name_or_path")
        raise BadInput(
            f"{folder} holds an adapter: give it as adapter, and as model the one that it changes" + (f", {base}" if base else "")
        )
    if not (folder / "config.json").is_file():
        files = sorted(file.name for file in folder.glob(f"*{GGUF}"))
        raise BadInput(
            f"{folder} holds no config.json: wanted the folder of a transformers model"
            + (f", or one of its GGUF files, as in {folder / files[0]}" if files else "")
        )
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
