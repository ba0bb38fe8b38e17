"""Which sites of a tiny random model are proven, and whether transformers' own hidden states say
the same.
"""

import inspect
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from json import dumps, loads

import torch
from huggingface_hub.errors import StrictDataclassError

from benchmarks.subjects.tiny import letters, tiny_model
from gloss.errors import GlossError
from gloss.models.sites import KINDS, Site
from gloss.models.structure.recording import MODEL_ERRORS, probe_tokens
from gloss.models.subject import Subject

UNMADE = "no tiny model could be made"
SECONDS, BYTES = 120, 8 << 30  # for one model in a process of its own


@dataclass(frozen=True)
class Row:
    """One architecture: in which of its layers each kind of site is proven."""

    model_type: str
    layers: int = 0
    proven: dict[str, int] | None = None  # by kind, in how many layers
    # layers in which all that is added to the stream is proven: attn_out and mlp_out, and their sum
    sums: int = 0
    # whether transformers' hidden_states say the same; None where it gives none
    hidden_states: bool | None = None
    edits: bool | None = None  # whether an edit of the first layer's resid_post changes the logits
    reason: str = ""  # why the model is refused, or else why its first missing site is

    @property
    def refused(self) -> bool:
        """Whether gloss does not read this model."""
        return self.proven is None

    @property
    def unmade(self) -> bool:
        """Whether there was no model to try."""
        return self.reason.startswith(UNMADE)


def measure(model_type: str) -> Row:
    """The row of one architecture, measured in this process."""
    try:
        model = tiny_model(model_type)
    except (*MODEL_ERRORS, StrictDataclassError) as error:
        return Row(model_type, reason=f"{UNMADE}: {one_line(error)}")
    try:
        subject = Subject(model, letters(), None)
    except GlossError as error:
        return Row(model_type, reason=one_line(error))
    layers = subject.anatomy.layout.layers
    proven = {kind: sum(kind in layer.locations for layer in layers) for kind in KINDS}
    missing = [
        reason
        for layer in layers
        for kind, reason in layer.missing.items()
        if kind not in ("mlp_raw", "attn_raw")
    ]
    sums = sum({"attn_out", "mlp_out"} <= layer.locations.keys() for layer in layers)
    reason = next(iter(missing), "")
    return Row(model_type, len(layers), proven, sums, agrees(subject), heeds_edits(subject), reason)


@torch.no_grad()
def agrees(subject: Subject) -> bool | None:
    """Whether transformers' hidden states are what enters each layer or, as some models count them,
    what leaves it.
    """
    tokens = probe_tokens(subject.model)
    known = inspect.signature(subject.model.forward).parameters
    output = subject.model(
        input_ids=tokens,
        output_hidden_states=True,
        **({"use_cache": False} if "use_cache" in known else {}),
    )
    hidden = getattr(output, "hidden_states", None)
    if hidden is None or len(hidden) <= subject.layers - 1:
        return None
    sites = [
        [Site(kind, layer) for layer in range(subject.layers)]
        for kind in ("resid_pre", "resid_post")
    ]
    read = subject.run(tokens, [*sites[0], *sites[1]]).activations
    return any(
        all(torch.allclose(read[site], hidden[site.layer], rtol=1e-4, atol=1e-5) for site in each)
        for each in sites
    )


def heeds_edits(subject: Subject) -> bool:
    """Whether the logits change with what leaves the first layer."""
    tokens, first = probe_tokens(subject.model), Site("resid_post", 0)
    plain = subject.run(tokens, logits=True).logits
    edited = subject.run(
        tokens, edits={first: lambda x: x + torch.linspace(-1, 1, x.shape[-1])}, logits=True
    ).logits
    assert plain is not None
    assert edited is not None
    return not torch.allclose(plain, edited, rtol=1e-3, atol=1e-4)


def one_line(error: BaseException) -> str:
    """The first sentence of what was raised, without the colours and lists that some libraries put
    behind it.
    """
    return " ".join(str(error).split())[:240]


def measured(model_types: Sequence[str], make: Callable[[str], Row] = measure) -> Iterator[Row]:
    """The rows, each from a process of its own, so that a model that eats time or memory costs its
    own row alone.
    """
    measure("llama")  # what all models need is imported before the processes part
    for model_type in model_types:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
            signal.alarm(SECONDS)
            with os.fdopen(writing, "w") as out:
                out.write(dumps(asdict(make(model_type))))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as whole:
            said = whole.read()
        os.waitpid(child, 0)
        yield (
            Row(**loads(said))
            if said
            else Row(model_type, reason=f"{UNMADE} within {SECONDS} s and 8 GiB")
        )
