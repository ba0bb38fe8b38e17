"""Where a model is: a path on this machine, or a repository on the hub and one of its commits."""

from functools import lru_cache
from pathlib import Path

from gloss.errors import BadInput, error_cause

GGUF = ".gguf"
DESCRIPTIONS = [
    *(
        "config.json",
        "tokenizer*",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab*",
        "merges.txt",
    ),
    *("*.model", "*.tiktoken", "chat_template*"),
]  # everything but weights


def is_local_path(path_or_name: str | Path) -> bool:
    """Whether this means a file or folder: a Path, what exists, or anything that no model of the
    hub could be called.

    `models/mine` could be a name of the hub, and is a path if a folder `models` is here.
    """
    if isinstance(path_or_name, Path) or path_or_name.endswith(GGUF):
        return True
    try:
        if Path(path_or_name).expanduser().exists():
            return True
    except (OSError, RuntimeError) as error:  # a name that is too long, a home that nobody has
        raise BadInput(
            f"{path_or_name[:80]} is no path and no model's name: {error_cause(error)}"
        ) from error
    parts = path_or_name.split("/")
    like_a_name = (
        len(parts) <= 2
        and all(parts)
        and "\\" not in path_or_name
        and parts[0] not in (".", "..", "~")
    )
    return not like_a_name or (len(parts) == 2 and Path(parts[0]).exists())


@lru_cache
def hub_snapshot(name: str, revision: str | None) -> Path:
    """A folder with everything of a hub's model but its weights, called like the commit that the
    revision stands for now.

    Without a network it is what was fetched before. Raises BadInput where there is nothing.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=DESCRIPTIONS))
    except Exception as error:  # a network raises anything
        raise BadInput(
            f"{name} is no folder here, and no model of that name could be had from the hub:"
            f" {error_cause(error)}"
        ) from error
