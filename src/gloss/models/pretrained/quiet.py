"""What other libraries say while a stranger's files are read: kept from the terminal, and one
sentence where they fail.
"""

import io
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr
from pickle import UnpicklingError

from gloss.errors import BadInput, GlossError, error_cause

# which remark on every pass of what they compute
for library in ("bitsandbytes", "compressed_tensors", "gptqmodel", "torchao"):
    logging.getLogger(library).setLevel(logging.ERROR)


@contextmanager
def silence_libraries(failed: str) -> Generator[None]:
    """Keep reports, progress and warnings of transformers and what it loads with from the terminal.

    Whatever is raised becomes BadInput that begins with `failed`: a stranger's files reach all of
    transformers, torch and tokenizers, which raise anything.
    """
    from transformers.utils.logging import (
        disable_progress_bar,
        enable_progress_bar,
        is_progress_bar_enabled,
    )

    progress, disabled = is_progress_bar_enabled(), logging.root.manager.disable
    disable_progress_bar()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except GlossError:
        raise
    except UnpicklingError as error:
        raise BadInput(
            f"{failed}: they are pickled with more than tensors, which could run as code; save them"
            " as safetensors"
        ) from error
    except Exception as error:
        raise BadInput(f"{failed}: {error_cause(error)}") from error
    finally:
        logging.disable(disabled)
        if progress:
            enable_progress_bar()
