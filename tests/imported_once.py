"""The slow imports, for the process from which others are forked."""

import gc
from importlib import import_module
from pathlib import Path

import gloss

THEIRS = (
    *("duckdb", "httpx", "pyarrow.dataset", "transformers.models.llama.modeling_llama"),
    *("starlette.applications", "uvicorn"),
)
SOURCE = Path(gloss.__file__).parents[1]
OURS = (
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in sorted(Path(gloss.__file__).parent.rglob("*.py"))
    if not path.name.startswith("__")
)

gc.disable()  # nearly nothing of it is garbage
for name in (*THEIRS, *OURS):
    import_module(name)
gc.collect()
gc.freeze()  # which also keeps the pages of memory that processes share
gc.enable()
