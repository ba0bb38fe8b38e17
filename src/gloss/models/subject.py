"""The language model that is read: any causal model of transformers that passes a residual stream
from layer to layer.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn

from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.models.continuation import CachedContinuation, PositionEdits
from gloss.models.pretrained.special_tokens import ROLES, SpecialTokens
from gloss.models.pretrained.tokenizer import PlainTokenizer, tokenizer_backend
from gloss.models.sites import OtherSite, Site, parse_site, parts_of
from gloss.models.structure.discovery import discover_layout
from gloss.models.structure.forward_pass import compute_logits, position_limit
from gloss.models.structure.hooks import Activation, Edit, taken_at, tap_sites
from gloss.models.structure.layout import Anatomy, Layout
from gloss.models.structure.placement import (
    DeviceMap,
    compute_device,
    input_device,
    resting_weight,
)
from gloss.models.structure.proof import prove_layout
from gloss.models.structure.recording import MODEL_ERRORS, SHARED_TOKENS, probe_tokens
from gloss.models.structure.transformers_types import (
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from gloss.models.token_tree import TokenTree
from gloss.records import PADDING
from gloss.store.vocabulary import Vocabulary

# settings of models some of whose layers look back no further
WINDOWS = ("sliding_window", "attention_chunk_size")
NO_EDITS: Mapping[Site, Edit] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run gave: what was at each site that was read, after its edits, and the logits if
    they were asked for.

    What stands at positions of padding means nothing.
    """

    activations: Mapping[Site, Activation]
    logits: Float[Tensor, "sequence position vocabulary"] | None = None

    def __getitem__(self, site: str | Site) -> Activation:
        """What was at a site, also by its name, as in "resid_post.1".

        Raises BadInput for one that was not read.
        """
        wanted = parse_site(site) if isinstance(site, str) else site
        if wanted not in self.activations:
            read = ", ".join(map(str, self.activations)) or "no site"
            raise BadInput(f"{wanted} was not read; this run read {read}")
        return self.activations[wanted]


class Subject:
    """A causal language model and its tokenizer.

    Reading and editing are one mechanism: torch hooks, gone after each run.

        >>> site = model.site("resid_post.2")
        >>> tokens = torch.tensor([[model.start_token, *model.encode("raise ValueError")]])
        >>> trace = model.run(tokens, read=[site])
        >>> trace.activations[site].shape == (*tokens.shape, model.width_at(site))
        True
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer | PreTrainedTokenizerBase | PlainTokenizer,
        start_token: int | Literal["bos"] | None = "bos",
        layout: Layout | None = None,
    ) -> None:
        """`start_token` begins every sequence: the tokenizer's own beginning-of-sequence token,
        another, or None.

        The sites are found and proven in two passes over a few tokens, unless the `layout` of an
        equal model is given. Raises BadInput for a model that has no residual stream to follow, or
        that is not causal.
        """
        self.model = model.eval()
        self.anatomy = Anatomy(model, layout or find_layout(model))
        self.tokens = as_plain_tokenizer(tokenizer)
        if start_token != "bos":
            self.tokens = copy(self.tokens)  # another subject may read with it
            self.tokens.start_token = start_token
        # what people should know of how it was loaded, a sentence each
        self.notes: tuple[str, ...] = ()
        self.other: Subject | None = None  # another model, read on the same tokens
        self._running = Lock()

    @staticmethod
    def load(
        path_or_name: str | Path,
        revision: str | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: str | DeviceMap | None = None,
        start_token: int | Literal["bos"] | None = "bos",
        adapter: str | Path | None = None,
    ) -> "Subject":
        """Read a model's folder or GGUF file, or fetch a model by the name that it has on the hub.

        Anything that looks like a path is one, and is never looked for on a network. Without a
        `device` a card is used where there is one; a `DeviceMap` spreads a model that is larger
        over several, and over memory and disk. Without a `dtype` weights keep theirs on a card
        and become float32 on a CPU. An `adapter` is a folder of PEFT, whose weights are added to
        the model's.

        Raises BadInput where there is no model, none whose sites can be found, or one whose parts
        contradict each other; BadSettings for a device that is not there and a start token that the
        model has no row for.
        """
        from gloss.models.model_settings import AUTO
        from gloss.models.pretrained.consistency import input_rows
        from gloss.models.pretrained.loading import load_model, resolve_device
        from gloss.models.pretrained.quiet import silence_libraries

        place = device if isinstance(device, DeviceMap) else resolve_device(device or AUTO)
        loaded = load_model(path_or_name, revision, dtype, place, adapter)
        rows = input_rows(loaded.model)
        if isinstance(start_token, int) and not 0 <= start_token < rows:
            raise BadSettings(
                f"start_token is {start_token}, and {path_or_name} has tokens 0 to {rows - 1}"
            )
        with silence_libraries(f"{path_or_name} cannot be read as a subject"):
            subject = Subject(loaded.model, loaded.tokens, start_token)
        subject.notes = loaded.notes
        return subject

    def beside(self, other: "Subject") -> "Subject":
        """This subject, which from now on reads the other model, too, at sites such as
        `other:resid_post.2`: a tuned one beside its base. Raises Mismatch where the two differ in
        their sites, or in what tokens mean.
        """
        theirs, own = (
            [{kind: each.width for kind, each in layer.locations.items()} for layer in layers]
            for layers in (other.anatomy.layout.layers, self.anatomy.layout.layers)
        )
        if theirs != own or not self.tokens.reads_as(other.tokens):
            what = "other sites" if theirs != own else "another tokenizer"
            raise Mismatch(
                f"the other model has {what} than the subject; give two of one family, as a base"
                " and what was tuned from it"
            )
        from gloss.models.pretrained.consistency import input_rows

        known, rows = self.tokens.tokenizer.get_vocab_size(), input_rows(other.model)
        if known > rows:
            raise Mismatch(
                f"the subject has {known:,} tokens and the other model rows for {rows:,} of them;"
                " give the one with fewer tokens as the subject"
            )
        self.other = other
        return self

    def __repr__(self) -> str:
        kind, numbers = type(self.model).__name__, sum(p.numel() for p in self.model.parameters())
        width = self.width_at(self.site("resid_post.0"))
        return (
            f"<subject: {kind} of {numbers:,} parameters, {self.layers} layers of width {width},"
            f" on {self.device}>"
        )

    @property
    def layers(self) -> int:
        """The number of layers.

        >>> model.layers
        4
        """
        return len(self.anatomy.layers)

    @property
    def config(self) -> PreTrainedConfig:
        """The configuration of the language model, without that of other towers."""
        return self.anatomy.text_config

    @property
    def device(self) -> torch.device:
        """Where tokens are taken to, and activations come from unless the model is spread over
        several.
        """
        return input_device(self.model)

    def device_at(self, site: Site) -> torch.device:
        """Where what is at a site comes from.

        >>> model.device_at(model.site("resid_post.2")) == model.device
        True
        """
        return compute_device(self.anatomy.point(parts_of(site)[0]).module, self.device)

    @cached_property
    def context(self) -> int | None:
        """The most positions that a sequence may have, start token included; None where the model
        knows no limit.
        """
        return position_limit(self.model)

    @property
    def start_token(self) -> int | None:
        """The token that begins every sequence, if any."""
        return self.tokens.start_token

    @property
    def text_ends(self) -> frozenset[int]:
        """The special tokens that stand between two texts, by the tokenizer and by the model's own
        configuration.
        """
        named = {
            name: getattr(self.config, name, None) for name in ("bos_token_id", "eos_token_id")
        }
        return self.tokens.special.or_ends(
            named | {"start": self.start_token, "end": self.end_tokens.tolist()}
        )

    @property
    def unembedding(self) -> Float[Tensor, "vocabulary d_model"]:
        """The output embedding's rows: what each token's logit reads from the residual stream,
        after the final norm. Shape: (vocabulary, d_model).

        Of a model that names no output embedding, the rows of the input embedding.
        """
        head = self.model.get_output_embeddings() or self.model.get_input_embeddings()
        assert isinstance(head, nn.Module)
        return resting_weight(head)

    def site(self, name: str | Site) -> Site:
        """A site of this model by any of its names, as `docs/sites.md` lists them.

        Raises BadInput for what is no name of a site, and Mismatch where this model has no such
        site.

            >>> str(model.site("blocks.2.hook_resid_post"))
            'resid_post.2'
        """
        site = parse_site(name) if isinstance(name, str) else name
        self.anatomy.require_site(site)
        return self.anatomy.canonical(site)

    def layers_with(self, kind: str) -> tuple[int, ...]:
        """The layers that have a kind of site. Raises Mismatch where none has it, and says why.

        >>> model.layers_with("mlp_out")
        (0, 1, 2, 3)
        """
        found = tuple(layer for layer in range(self.layers) if self.anatomy.has(Site(kind, layer)))
        if not found:
            self.anatomy.require_site(Site(kind, 0))
        return found

    def width_at(self, site: Site) -> int:
        """The length of the vectors at a site. Raises Mismatch where this model has no such site.

        >>> model.width_at(model.site("resid_post.2"))
        256
        """
        return self.anatomy.width_at(site)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without a start token.

        >>> strings = model.vocabulary().strings
        >>> [strings[token] for token in model.encode("raise ValueError")]
        ['raise', ' ValueError']
        """
        return self.tokens.encode(text)

    def encode_behind(self, before: str, text: str) -> list[int]:
        """The tokens of a text that stands behind another; its own where those of the other change
        before it.

        >>> strings = model.vocabulary().strings
        >>> [strings[token] for token in model.encode_behind("raise", " ValueError")]
        [' ValueError']
        """
        first, whole = self.encode(before), self.encode(before + text)
        if whole[: len(first)] == first:
            return whole[len(first) :]
        # some tokenizers put a space in front of what they encode
        alone = [self.encode(each) for each in (text, text.removeprefix(" "))]
        says = self.vocabulary().text
        return next((each for each in alone if says(each) == text), alone[0])

    @cached_property
    def front_token(self) -> int:
        """A token that may stand in front of any text, so that no word of it stands first.

        Models park attention on the first position, and what stands behind a token that begins a
        turn is read as a role. So it is the start token where there is one and the chat template
        does not put it around every turn; or else the token that ends texts, or a line break.
        """
        special = self.tokens.special
        if self.start_token is not None and self.start_token not in special.around_turns:
            return self.start_token
        ends = sorted(self.text_ends - special.within)
        return next(iter([*ends, *self.encode("\n")[-1:], *self.encode(".")[-1:]]), 0)

    def vocabulary(self) -> Vocabulary:
        """What each token says: one entry for each row of the unembedding.

        >>> len(model.vocabulary())
        4096
        """
        return self._vocabulary

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return self.tokens.vocabulary(len(self.unembedding))

    def run(
        self,
        tokens: Int64[Tensor, "sequence position"],
        read: Sequence[Site | str] = (),
        edits: Mapping[Site, Edit] = NO_EDITS,
        logits: bool = False,
        attention_mask: (
            Int64[Tensor, "sequence position"] | Bool[Tensor, "sequence position"] | None
        ) = None,
        *,
        grad: bool = False,
    ) -> Trace:
        """Run the model over sequences, and read and edit on the way.

        Begin each sequence with the start token. Sequences of unequal length end in PADDING (-1),
        or in what `attention_mask` marks 0. An edit is given the tensor of shape (sequence,
        position, width) at its site, and gives the one to put there; a read of the same site sees
        that. Without `logits` the run stops at the deepest site that was named. With `grad`
        activations keep their graph. Raises Mismatch for sites that the model lacks, for sequences
        that are too long, and for padding in front.

            >>> tokens = torch.tensor([[model.start_token, *model.encode("def f(")]])
            >>> cut = {model.site("mlp_out.1"): torch.zeros_like}
            >>> model.run(tokens, edits=cut, logits=True).logits.shape == (*tokens.shape, 4096)
            True
        """
        real = real_positions(tokens, attention_mask)
        sites = [parse_site(one) if isinstance(one, str) else one for one in read]
        return self._forward(tokens, real, (sites, edits), 0 if logits else None, grad)

    def run_after(
        self,
        beginning: Int64[Tensor, " position"],
        endings: Int64[Tensor, "sequence ending"],
        read: Sequence[Site],
    ) -> Trace:
        """Run sequences that begin alike and are of one length: the beginning once, then the
        endings. The trace is of the endings alone.

        The start token is part of the beginning. Raises Mismatch where they are too long together.
        """
        self._check_length(len(beginning) + endings.shape[1])
        beginning, endings = beginning.to(self.device), endings.to(self.device)
        if not self._has_cache:
            whole = torch.cat([beginning.expand(len(endings), -1), endings], dim=1)
            trace = self.run(whole, read)
            return Trace({site: trace.activations[site][:, len(beginning) :] for site in read})
        return self._run_cached(beginning, endings, read)

    def _run_cached(
        self,
        beginning: Int64[Tensor, " position"],
        endings: Int64[Tensor, "sequence ending"],
        read: Sequence[Site],
    ) -> Trace:
        from transformers import DynamicCache

        cache = DynamicCache()
        plain, others = self._read_apart(
            read, lambda other, there: other.run_after(beginning, endings, there)
        )
        with self._alone(), torch.no_grad():
            with tap_sites(self.anatomy, 1, plain, NO_EDITS, to_the_end=False):
                compute_logits(self.model, beginning[None], cache=cache)
            cache.batch_repeat_interleave(len(endings))
            with tap_sites(self.anatomy, len(endings), plain, NO_EDITS, to_the_end=False) as taken:
                compute_logits(self.model, endings, cache=cache)
        return Trace(taken_at(taken | others, read))

    @cached_property
    def _has_cache(self) -> bool:
        """Whether a pass after what a cache holds gives what a pass over everything gives: tried,
        for models differ.
        """
        tokens, last = probe_tokens(self.model), [Site("resid_post", self.layers - 1)]
        wanted = self.run(tokens, last).activations[last[0]][:, SHARED_TOKENS:]
        try:
            found = self._run_cached(
                tokens[0, :SHARED_TOKENS], tokens[:, SHARED_TOKENS:], last
            ).activations[last[0]]
        except MODEL_ERRORS:
            return False  # state-space layers and others keep what they remember in other caches
        return found.shape == wanted.shape and bool((found - wanted).norm() <= 0.02 * wanted.norm())

    def generate(
        self,
        tokens: Int64[Tensor, "sequence position"],
        edits: Mapping[Site, Edit] | PositionEdits = NO_EDITS,
        max_new_tokens: int = 32,
        rng: np.random.Generator | None = None,
        temperature: float = 1.0,
    ) -> Int64[Tensor, "sequence longer_position"]:
        """Continue each sequence: by the likeliest token, or by a draw where an `rng` is given.

        Sequences end where their PADDING begins, and so do those that come back, after the model's
        own end token or `max_new_tokens`. Edits that act on each position by itself are given as a
        function of the rows and of the position at which their tensors begin; then, and without
        edits, what was read is kept and not read again. The edits of a mapping see whole sequences,
        which every step reads anew.

            >>> tokens = torch.tensor([[model.start_token, *model.encode("import")]])
            >>> model.generate(tokens, max_new_tokens=3).shape[1] - tokens.shape[1]
            3
        """
        ended = torch.zeros(len(tokens), dtype=torch.bool)
        tokens = tokens.cpu()
        lengths = real_positions(tokens, None).sum(dim=1)
        drawn_by = None if rng is None else torch.Generator().manual_seed(int(rng.integers(2**63)))
        with self._continuation(lengths, edits) as next_logits:
            for _ in range(max_new_tokens):
                last = next_logits(tokens, lengths)
                chosen = (
                    last.argmax(dim=1)
                    if drawn_by is None
                    else draw_next_tokens(last / temperature, drawn_by)
                )
                tokens = append_tokens(tokens, lengths, torch.where(ended, PADDING, chosen))
                lengths = lengths + ~ended
                ended |= torch.isin(chosen, self.end_tokens)
                if ended.all():
                    break
        return tokens.to(self.device)

    @contextmanager
    def _continuation(
        self, lengths: Int64[Tensor, " sequence"], edits: Mapping[Site, Edit] | PositionEdits
    ) -> Generator[Callable[[Tensor, Tensor], Tensor]]:
        """What gives the logits after sequences of these lengths, which grow from call to call."""
        if not edits:
            edits = no_edits
        if isinstance(edits, Mapping) or not self._has_cache:
            whole = edits if isinstance(edits, Mapping) else edits(torch.arange(len(lengths)), 0)
            yield lambda tokens, now: self.logits_at(tokens, now[:, None] - 1, whole)[:, 0]
            return
        cached = CachedContinuation(self, lengths, edits)

        def next_logits(tokens: Tensor, now: Tensor) -> Tensor:
            self._check_length(int(now.max()))
            return cached.next_logits(tokens)

        with self._alone(), torch.no_grad():
            yield next_logits

    def next_logits(
        self, tokens: Int64[Tensor, "sequence position"], edits: Mapping[Site, Edit] = NO_EDITS
    ) -> Float[Tensor, "sequence vocabulary"]:
        """The logits of what comes after each sequence, in 32 bits on the CPU.

        Sequences end where their PADDING begins. The other positions' logits are not computed, so
        that long prompts and large vocabularies cost little memory.

            >>> model.next_logits(torch.tensor([[model.start_token]])).shape
            torch.Size([1, 4096])
        """
        tokens = tokens.cpu()
        last = real_positions(tokens, None).sum(dim=1, keepdim=True) - 1
        return self.logits_at(tokens, last, edits)[:, 0]

    def logits_at(
        self,
        tokens: Int64[Tensor, "sequence position"],
        positions: Int64[Tensor, "sequence wanted"],
        edits: Mapping[Site, Edit] = NO_EDITS,
        *,
        grad: bool = False,
    ) -> Float[Tensor, "sequence wanted vocabulary"]:
        """The logits of what comes after some positions of each sequence, in 32 bits on the CPU.

        Sequences end where their PADDING begins. With `grad` they keep their graph. Raises what
        `run` raises.
        """
        tokens = tokens.cpu()
        kept, index = torch.unique(positions, return_inverse=True)
        real = real_positions(tokens, None)
        trace = self._forward(tokens, real, ((), edits), kept.to(self.device), grad)
        assert trace.logits is not None
        return trace.logits.cpu()[torch.arange(len(tokens))[:, None], index].float()

    def logits_in_tree(
        self,
        tokens: Int64[Tensor, "sequence position"],
        positions: Int64[Tensor, "sequence wanted"],
    ) -> Float[Tensor, "sequence wanted vocabulary"]:
        """As `logits_at`, but what sequences begin with in common is read once for all.

        Of a model that cannot be told which tokens see which, it is `logits_at`.
        """
        tokens = tokens.cpu()
        limits = (getattr(self.config, name, None) for name in WINDOWS)
        if not self.reads_trees or any(limit and tokens.shape[1] > limit for limit in limits):
            return self.logits_at(tokens, positions)
        return self._logits_in_tree(tokens, positions)

    def _logits_in_tree(
        self,
        tokens: Int64[Tensor, "sequence position"],
        positions: Int64[Tensor, "sequence wanted"],
    ) -> Float[Tensor, "sequence wanted vocabulary"]:
        self._check_length(tokens.shape[1])
        tree = TokenTree.of(tokens)
        kept, index = torch.unique(tree.places.gather(1, positions), return_inverse=True)
        seen = (tree.positions.to(self.device), tree.sees.to(self.device))
        with self._alone(), torch.no_grad():
            logits = compute_logits(
                self.model, tree.tokens[None].to(self.device), kept.to(self.device), seen=seen
            )
        return logits[0].cpu()[index].float()

    @cached_property
    def reads_trees(self) -> bool:
        """Whether a tree gives what its sequences give by themselves: tried, for models differ."""
        probe = probe_tokens(self.model).cpu()
        rows = torch.cat([probe, probe.roll(1, dims=1)])
        rows[1, -1] = rows[3, -2:] = PADDING
        ends = (rows != PADDING).sum(1, keepdim=True) - 1
        wanted = self.logits_at(rows, ends)
        try:
            found = self._logits_in_tree(rows, ends)
        except MODEL_ERRORS:
            return False
        most = 1e-3 if self.model.dtype == torch.float32 else 0.02
        return bool((found - wanted).norm() <= most * wanted.norm())

    @property
    def end_tokens(self) -> Int64[Tensor, " end_token"]:
        """The tokens after which the model says nothing more."""
        named = self.model.generation_config.eos_token_id
        return torch.tensor([] if named is None else named, dtype=torch.int64).reshape(-1)

    def _forward(
        self,
        tokens: Int64[Tensor, "sequence position"],
        real: Bool[Tensor, "sequence position"],
        wanted: tuple[Sequence[Site], Mapping[Site, Edit]],
        logits_to_keep: int | Int64[Tensor, " kept"] | None,
        grad: bool,
    ) -> Trace:
        """One pass under hooks.

        `logits_to_keep` as in transformers (0 keeps all), None computes no logits.

        No attention mask is passed: padding comes last and attention looks back only, so nothing
        real ever sees it. In its place the model gets each row's first token, which every
        vocabulary has.
        """
        self._check_length(tokens.shape[1])
        read, edits = wanted
        if logits_to_keep is None and not read and not edits:
            return Trace({})
        filled = torch.where(real, tokens, tokens[:, :1]).to(self.device)
        logits = None
        # no_grad and not inference mode, whose tensors nothing can be trained on afterwards.
        quiet = nullcontext() if grad else torch.no_grad()
        plain, others = self._read_apart(
            read,
            lambda other, there: other.run(torch.where(real, tokens, PADDING), there, grad=grad),
        )
        with (
            self._alone(),
            quiet,
            tap_sites(
                self.anatomy, len(tokens), plain, edits, to_the_end=logits_to_keep is not None
            ) as taken,
        ):
            logits = compute_logits(
                self.model, filled, logits_to_keep if isinstance(logits_to_keep, Tensor) else None
            )
        return Trace(taken_at(taken | others, read), logits)

    def _read_apart(
        self, read: Sequence[Site], run: Callable[["Subject", list[Site]], Trace]
    ) -> tuple[list[Site], dict[Site, Activation]]:
        """The sites of this model, and what is at those of the other one, which is run for them.

        Raises Mismatch where there is no other one.
        """
        parts = [part for site in read for part in parts_of(site)]
        theirs = [part for part in parts if isinstance(part, OtherSite)]
        if not theirs:
            return parts, {}
        if self.other is None:
            raise Mismatch(
                f"{theirs[0]} is a site of another model, and there is none; name it, as in"
                ' [subject] other = "MODEL"'
            )
        found = run(self.other, [part.there for part in theirs])
        own = [part for part in parts if not isinstance(part, OtherSite)]
        return own, {part: found[part.there] for part in theirs}

    def _check_length(self, positions: int) -> None:
        if self.context is not None and positions > self.context:
            raise Mismatch(
                f"sequences of {positions} positions: this model takes at most {self.context}; cut"
                " them"
            )

    @contextmanager
    def _alone(self) -> Generator[None]:
        if not self._running.acquire(blocking=False):
            raise RuntimeError(
                "this subject is running already: an edit cannot run its own subject, nor two"
                " threads the same"
            )
        try:
            yield
        finally:
            self._running.release()


def find_layout(model: PreTrainedModel) -> Layout:
    """Where the model's sites lie, proven. Raises BadInput where none can be."""
    return prove_layout(model, discover_layout(model))


def as_plain_tokenizer(
    tokenizer: Tokenizer | PreTrainedTokenizerBase | PlainTokenizer,
) -> PlainTokenizer:
    """What a user holds, as what the subject needs.

    Raises BadInput for a tokenizer of transformers that is all Python.
    """
    if isinstance(tokenizer, PlainTokenizer):
        return tokenizer
    if isinstance(tokenizer, Tokenizer):
        return PlainTokenizer(tokenizer)
    backend = tokenizer_backend(tokenizer)
    start = tokenizer.bos_token_id
    assert start is None or isinstance(start, int)
    named = {role: getattr(tokenizer, role) for role in ROLES}
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None
    return PlainTokenizer(backend, start, SpecialTokens.of(backend, named, template))


def real_positions(
    tokens: Int64[Tensor, "sequence position"],
    attention_mask: Int64[Tensor, "sequence position"] | Bool[Tensor, "sequence position"] | None,
) -> Bool[Tensor, "sequence position"]:
    """Which positions hold tokens.

    Raises Mismatch where a row is empty or has a token after padding.
    """
    real = tokens != PADDING
    if attention_mask is not None:
        real = real & attention_mask.bool().to(real.device)
    if not bool(real[:, :1].all()) or bool((real[:, 1:] & ~real[:, :-1]).any()):
        raise Mismatch(
            "a sequence is empty or has padding in front of a token: begin each at its row's start"
            " and pad its end"
        )
    return real


def draw_next_tokens(
    logits: Float[Tensor, "sequence vocabulary"], generator: torch.Generator
) -> Int64[Tensor, " sequence"]:
    """One token for each row, by its probability."""
    return torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]


def no_edits(rows: Int64[Tensor, " row"], first: int) -> Mapping[Site, Edit]:
    """Nothing is changed, at any position."""
    return NO_EDITS


def append_tokens(
    tokens: Int64[Tensor, "sequence position"],
    lengths: Int64[Tensor, " sequence"],
    chosen: Int64[Tensor, " sequence"],
) -> Int64[Tensor, "sequence longer_position"]:
    """Each row with a token put where it ended."""
    longer = tokens
    if int(lengths.max()) == tokens.shape[1]:
        longer = torch.cat([tokens, torch.full_like(tokens[:, :1], PADDING)], dim=1)
    free = lengths.clamp(max=longer.shape[1] - 1)
    put = torch.where(chosen == PADDING, longer.gather(1, free[:, None])[:, 0], chosen)
    return longer.scatter(1, free[:, None], put[:, None])


def untrained_subject(subject: Subject, rng: np.random.Generator) -> Subject:
    """A subject with this one's tokenizer and configuration, every weight drawn anew, embeddings
    included.

    The model's own initialisation draws them, from torch's global state, which is put back
    afterwards.
    """
    before = torch.random.get_rng_state()
    try:
        torch.random.set_rng_state(
            torch.Generator().manual_seed(int(rng.integers(2**63))).get_state()
        )
        model = type(subject.model)(subject.model.config)
    finally:
        torch.random.set_rng_state(before)
    torch.nn.Module.to(model, device=subject.device, dtype=subject.model.dtype)
    drawn = Subject(model, subject.tokens, subject.start_token, subject.anatomy.layout)
    return drawn.beside(untrained_subject(subject.other, rng)) if subject.other else drawn
