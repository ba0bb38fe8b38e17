"""From a folder, a GGUF file or a name to a model on a device and its tokenizer.

What cannot be loaded is refused.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from torch import nn

from gloss.errors import BadInput, BadSettings
from gloss.models.chat_models.prompts import Message
from gloss.models.model_settings import AUTO, DTYPES
from gloss.models.pretrained.adapters import ADAPTER_FILE, merge_adapter
from gloss.models.pretrained.consistency import (
    EmbeddingRows,
    input_rows,
    refuse_contradictions,
    refuse_larger_than_its_weights,
    refuse_not_finite,
    try_on_english,
)
from gloss.models.pretrained.hub import GGUF, hub_snapshot, is_local_path
from gloss.models.pretrained.quiet import silence_libraries
from gloss.models.pretrained.special_tokens import ROLES, SpecialTokens
from gloss.models.pretrained.tokenizer import PlainTokenizer, load_tokenizer, read_json
from gloss.models.structure.placement import DeviceMap
from gloss.models.structure.transformers_types import PreTrainedConfig, PreTrainedModel

POINTER = b"version https://git-lfs.github.com/spec/"
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
TORCH_DTYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPES}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to be read, and what people should know of it."""

    model: PreTrainedModel
    tokens: PlainTokenizer
    notes: tuple[str, ...] = ()


def load_model(
    path_or_name: str | Path,
    revision: str | None,
    dtype: torch.dtype | None,
    device: torch.device | DeviceMap,
    adapter: str | Path | None = None,
) -> LoadedModel:
    """The model and tokenizer of a folder, of a GGUF file, or of the hub's repository of that name
    at a revision.

    Without a `dtype`, an accelerator computes in the type that the weights are stored in, and a CPU
    in float32.

    Raises BadInput where there is no model, or one whose parts contradict each other; BadSettings
    where a folder is asked for a revision.
    """
    source = find_model_source(path_or_name, revision)
    with parse_gguf_once() if source.file else nullcontext():
        return load_from_source(source, dtype, device, adapter)


def load_from_source(
    source: "ModelSource",
    dtype: torch.dtype | None,
    device: torch.device | DeviceMap,
    adapter: str | Path | None,
) -> LoadedModel:
    """The model of a place that is known; see `load_model`."""
    path_or_name, config = source.given, source.config
    kind = source.model_class
    tokens = source.plain_tokenizer(config)
    quantised = getattr(config, "quantization_config", None) is not None
    with silence_libraries(f"{path_or_name} cannot be made into a model"):
        if source.stored is not None:
            refuse_larger_than_its_weights(config, kind, source.stored, str(path_or_name))
    spread = isinstance(device, DeviceMap)
    if spread and adapter is not None:
        raise BadSettings(
            "an adapter is not merged into a model that device_map spreads; merge and save the two"
            " first, and give what was saved"
        )
    on_cpu = not torch.cuda.is_available() if spread else device.type == "cpu"
    wanted: torch.dtype | str = dtype or (torch.float32 if on_cpu and not quantised else AUTO)
    model, notes = source.loaded_model(wanted, device)
    notes = source.notes + notes
    with silence_libraries(f"{path_or_name} cannot be made into a model"):
        rows = input_rows(model)
        if adapter is not None:
            model, remark = merge_adapter(model, Path(adapter).expanduser(), str(path_or_name))
            notes += remark
        # any more: transformers unpacks what no kernel here computes
        if not (spread or getattr(model, "is_quantized", False)):
            nn.Module.to(
                model,
                device=device,
                dtype=torch.float32 if wanted == AUTO and on_cpu else None,
            )
        refuse_not_finite(model, str(path_or_name))
        tokens, remark = EmbeddingRows(rows, str(path_or_name)).fit_tokenizer(tokens)
        notes += remark + try_on_english(model.eval(), tokens, str(path_or_name))
    return LoadedModel(model, tokens, notes)


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: a folder here, one GGUF file, or a name on the hub with a folder of
    all but the weights.
    """

    given: str | Path
    folder: Path
    file: str = ""  # of the folder, where one file holds everything
    commit: str = "main"  # of the hub

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration.

        Raises BadInput where there is none that transformers knows by itself.
        """
        from transformers import AutoConfig

        if not self.file:
            refuse_unknown_type(self.stated, str(self.folder / "config.json"))
        with silence_libraries(
            f"{self.given} {'is no GGUF file' if self.file else 'has no configuration'} that can be"
            " read"
        ):
            return AutoConfig.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False, **self.in_one_file
            )

    @cached_property
    def stated(self) -> dict[str, Any]:
        """What config.json says. Raises BadInput."""
        return read_json(self.folder / "config.json")

    @property
    def model_class(self) -> Any:
        """What of transformers makes the model.

        Raises BadInput for one that predicts no next token from text alone.
        """
        from transformers import (
            MODEL_FOR_CAUSAL_LM_MAPPING,
            MODEL_FOR_MULTIMODAL_LM_MAPPING,
            AutoModelForCausalLM,
            AutoModelForMultimodalLM,
        )

        named = getattr(self.config, "model_type", "")
        if getattr(self.config, "is_encoder_decoder", False):
            raise BadInput(
                f"{self.given} ({named}) has an encoder and a decoder; wanted a causal language"
                " model, a decoder alone"
            )
        for mapping, kind in (
            (MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM),
            (MODEL_FOR_MULTIMODAL_LM_MAPPING, AutoModelForMultimodalLM),
        ):
            if type(self.config) in mapping:
                return kind
        raise BadInput(
            f"{self.given} ({named}) is no causal language model; give one that predicts the next"
            " token of a text"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it is described."""
        own = "" if self.file else own_code_class(self.stated)
        said = (
            f"{self.given} comes with code of its own ({own}); that of transformers is run in its"
            " place"
        )
        return (said,) if own else ()

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
        return (
            sum(file.stat().st_size for pattern in WEIGHTS for file in self.folder.glob(pattern))
            or None
        )

    @property
    def is_here(self) -> bool:
        """Whether the weights are on this machine."""
        return isinstance(self.given, Path)

    def plain_tokenizer(self, config: PreTrainedConfig) -> PlainTokenizer:
        """The tokenizer. Raises BadInput where there is none that can be read."""
        if not self.file:
            with silence_libraries(f"{self.given} has a tokenizer that cannot be read"):
                return load_tokenizer(self.folder, getattr(config, "bos_token_id", None))
        tokenizer: Any = self.tokenizer()
        backend, named = (
            tokenizer.backend_tokenizer,
            {role: getattr(tokenizer, role) for role in ROLES},
        )
        return PlainTokenizer(
            backend,
            tokenizer.bos_token_id,
            SpecialTokens.of(backend, named, tokenizer.chat_template),
        )

    def tokenizer(self) -> Any:
        """The tokenizer of transformers, which knows the template of chats. Raises BadInput."""
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        with silence_libraries(f"{self.given} has a tokenizer that cannot be read"):
            if self.file:
                return PreTrainedTokenizerFast.from_pretrained(
                    self.folder, gguf_file=self.file, local_files_only=True
                )
            return AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )

    def loaded_model(
        self, dtype: torch.dtype | str, device: torch.device | DeviceMap
    ) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The model with its weights, those of a GGUF file unpacked. Raises BadInput."""
        settings: dict[str, Any] = dict(self.in_one_file)
        if self.file:
            from transformers import GgufConfig

            settings["quantization_config"] = GgufConfig(dequantize=True)
        quantised = not self.file and getattr(self.config, "quantization_config", None) is not None
        if isinstance(device, DeviceMap):
            settings |= device.settings
        elif quantised and device.type != "cpu":
            settings["device_map"] = {"": device}  # quantised weights cannot be moved afterwards
        where = self.folder if self.is_here else str(self.given)
        return read_weights(
            where, self.commit, dtype, self.model_class, config=self.config, **settings
        )


def refuse_unknown_type(described: Mapping[str, Any], file: str) -> None:
    """Raises BadInput for a configuration that is none of a model that this transformers knows."""
    from transformers import CONFIG_MAPPING
    from transformers import __version__ as version

    named = described.get("model_type")
    if named not in CONFIG_MAPPING and (own := own_code_class(described)):
        raise BadInput(
            f"{file} wants code of the model's own ({own}), which is not run; give a model that"
            " transformers knows"
        )
    if named is None:
        raise BadInput(
            f"{file} names no model_type: wanted the configuration of a transformers model"
        )
    if named not in CONFIG_MAPPING:
        raise BadInput(
            f"{file} names the model_type {named!r}, which transformers {version} does not know; a"
            " newer one may"
        )
    for field in ("dtype", "torch_dtype"):
        stored = described.get(field)
        if isinstance(stored, str) and not isinstance(getattr(torch, stored, None), torch.dtype):
            raise BadInput(
                f"{file} states {field} = {stored!r}; wanted a type of torch, as 'bfloat16', or"
                " null"
            )


def own_code_class(described: Mapping[str, Any]) -> str:
    """The class that a configuration wants to be imported from the model's own files.

    Empty for most.
    """
    named = described.get("auto_map")
    return str(next(iter(named.values()), "") if isinstance(named, dict) else named or "")[:80]


def find_model_source(path_or_name: str | Path, revision: str | None) -> ModelSource:
    """Where this model is. Raises BadInput where it is nowhere, BadSettings where a folder is asked
    for a revision.
    """
    if not is_local_path(path_or_name):
        folder = hub_snapshot(str(path_or_name), revision)
        return ModelSource(str(path_or_name), require_model_folder(folder), "", folder.name)
    if revision is not None:
        raise BadSettings(
            f"revision {revision!r} of the folder {path_or_name}: only models of the hub have"
            " revisions"
        )
    path = Path(path_or_name).expanduser()
    if path.suffix == GGUF and path.is_file():
        refuse_lfs_pointer(path)
        return ModelSource(path, path.parent, path.name)
    return ModelSource(path, require_model_folder(path))


def read_weights(
    source: str | Path, commit: str, dtype: torch.dtype | str, kind: Any, **settings: Any
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model with its stored weights, and what people should know of them.

    Raises BadInput where some are missing, since transformers would draw them at random, or
    contradict the configuration.
    """
    with silence_libraries(f"the weights of {source} cannot be read"):
        model, found = kind.from_pretrained(
            source,
            revision=commit,
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
    """How this model's chats are put as text, up to where its answer begins, or as they are where
    nobody is `to_answer`.

    None where its tokenizer has no template.
    """
    try:
        tokenizer: Any = find_model_source(path_or_name, revision).tokenizer()
    except BadInput:  # a model can do without what transformers wants of a tokenizer
        return None
    if tokenizer.chat_template is None:
        return None

    def put(turns: Sequence[Message]) -> str:
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=to_answer
            )
        except TemplateError as problem:
            raise BadSettings(
                f"the chat template of {path_or_name} refuses such turns ({problem}); use another"
                " model"
            ) from problem

    return put


def require_model_folder(folder: Path) -> Path:
    """The folder itself. Raises BadInput where it is none that holds a model."""
    if not folder.exists():
        raise BadInput(
            f"{folder} does not exist: wanted the folder of a transformers model, or a model's name"
            " on the hub"
        )
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is a file: wanted the folder of a transformers model, with config.json and"
            " the weights, or a GGUF file"
        )
    if (folder / ADAPTER_FILE).is_file():
        base = read_json(folder / ADAPTER_FILE).get("base_model_name_or_path")
        raise BadInput(
            f"{folder} holds an adapter: give it as adapter, and as model the one that it changes"
            + (f", {base}" if base else "")
        )
    if not (folder / "config.json").is_file():
        inside = sorted(
            [*folder.glob(f"*{GGUF}"), *(file.parent for file in folder.glob("*/config.json"))]
        )
        raise BadInput(
            f"{folder} holds no config.json: wanted the folder of a transformers model"
            + (f", or what is inside, as {inside[0]}" if inside else "")
        )
    for file in folder.iterdir():
        refuse_lfs_pointer(file)
    return folder


def refuse_lfs_pointer(file: Path) -> None:
    """Raises BadInput for what Git leaves in the place of a large file until that is fetched."""
    if (
        file.is_file()
        and file.stat().st_size < len(POINTER) + 200
        and file.read_bytes().startswith(POINTER)
    ):
        raise BadInput(
            f"{file} is a pointer of Git LFS and not the file itself; run `git lfs pull` where it"
            " was cloned"
        )


@contextmanager
def parse_gguf_once() -> Generator[None]:
    """Within it a file is parsed once and names of weights are worked out once, which halves the
    time of loading.

    Nothing changes where gguf is not installed: whoever needs it says so.
    """
    try:
        import gguf
    except ImportError:
        yield
        return
    kept = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, made in kept.items():
        setattr(gguf, name, cache(made))
    try:
        yield
    finally:
        for name, made in kept.items():
            setattr(gguf, name, made)


def resolve_device(name: str) -> torch.device:
    """The device of that name.

    `auto` is the first CUDA or ROCm card where there is one, otherwise the CPU.

    Raises BadSettings for a name that is none, and for a device that this machine does not have.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # which computes nothing either
    if device.type == "cpu" and not device.index:
        return device
    if device.type not in ("cuda", "mps", "xpu"):
        raise BadSettings(
            f"device {name!r} is none that computes; give auto, cpu, cuda, cuda:1, mps or xpu"
        )
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    number = (
        torch.accelerator.device_count() if here is not None and here.type == device.type else 0
    )
    if (device.index or 0) >= number:
        has = f"{number} of that kind" if number else "none that torch can use"
        raise BadSettings(
            f"device {name!r} is not there: this machine has {has}; give auto or cpu, or run where"
            " there is one"
        )
    return device


def resolve_dtype(name: str) -> torch.dtype | None:
    """The type of that name; None for `auto`. Raises BadSettings."""
    if name == AUTO:
        return None
    if name not in TORCH_DTYPES:
        raise BadSettings(
            f"dtype {name!r} is none that models are computed in; give auto,"
            f" {', '.join(TORCH_DTYPES)}"
        )
    return TORCH_DTYPES[name]
