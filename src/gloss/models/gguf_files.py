"""One GGUF file read once: what transformers and gguf would read and work out again for every question is kept for a while."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache


@contextmanager
def read_once() -> Generator[None]:
    """Within it a file is parsed once and names of weights are worked out once, which halves the time of loading.

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
