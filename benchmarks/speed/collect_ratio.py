"""Processor time of collecting, beside the work that nobody can spare: the subject's pass to the
layer, and the dictionary's product and selection. Peers that are installed are measured beside it.

    python -m benchmarks.speed.collect_ratio [--subject MODEL] [--site resid_post.0]
        [--width 8192] [--tokens 16384] [--rounds 5] [--texts stdlib] [--typed] [--json FILE]

All get the same sequences of 256 tokens, the same batches and the same weights, and take turns in
one process; each round's order is another. `--typed` also runs `gloss collect` as it is typed, on
1 and 5 times `--typed-tokens`, and divides what the additional tokens took by what they take bare.
delphi is measured where `delphi` can be imported; what it imports and its cache does not use may
be missing.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

import gloss
from benchmarks.speed.rows import Row, add_json, compared, report, take_turns
from gloss.collect.code_shards import CodeShards
from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.shard_merge import ShardMerge
from gloss.collect.site_reader import SiteReader
from gloss.collect.stretch_codes import encode_stretch
from gloss.collect.texts import open_texts
from gloss.collect.tokens import read_texts
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import save_dictionary
from gloss.models.model_settings import SPECIAL
from gloss.models.sparse_codes import LargestK
from gloss.models.subject import Subject
from gloss.store.corpus import Stretch, corpus_stretches
from gloss.store.progress import ignore_progress

CONTEXT, BATCH, K = 256, 2**13, 32
BARE, UNIT = "forward + encode", "us of CPU a token"
Way = Callable[[], object]


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    subject = gloss.load_model(asked.subject, device="cpu", dtype="float32")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus"
        read_texts(subject, open_texts(asked.texts), corpus, CONTEXT, 2 * asked.tokens)
        stretch = whole_sequences(next(corpus_stretches(corpus, 2 * asked.tokens)), asked.tokens)
        dictionary = random_dictionary(subject, asked)
        ways = dict(own_ways(subject, dictionary, stretch, folder))
        ways |= dict(peer_ways(subject, dictionary, stretch, folder))
        taken = take_turns(ways, asked.rounds)
        scale = 1e6 / len(stretch.tokens)
        rows = [compared(name, taken, BARE, scale, UNIT) for name in ways]
        if asked.typed:
            rows.append(as_typed(dictionary, asked, folder, statistics.median(taken[BARE]) * scale))
    report(rows, asked.json)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Collecting beside what nobody can spare.")
    parser.add_argument("--subject", default="embedded")
    parser.add_argument("--site", default="resid_post.0")
    parser.add_argument("--texts", default="stdlib")
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=2**14)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--typed", action="store_true")
    parser.add_argument("--typed-tokens", type=int, default=100_000)
    add_json(parser)
    return parser.parse_args()


def whole_sequences(stretch: Stretch, tokens: int) -> Stretch:
    """Sequences of full length alone, so that nobody has to pad."""
    starts = np.cumsum(stretch.lengths) - stretch.lengths
    length = int(np.bincount(stretch.lengths).argmax())
    chosen = np.flatnonzero(stretch.lengths == length)[: tokens // length]
    taken = np.concatenate([stretch.tokens[s : s + length] for s in starts[chosen]])
    return Stretch(0, 0, taken, np.full(len(chosen), length))


def random_dictionary(subject: Subject, asked: argparse.Namespace) -> SparseCoder:
    site = subject.site(asked.site)
    generator, d = torch.Generator().manual_seed(0), subject.width_at(site)
    directions = torch.nn.functional.normalize(
        torch.randn(asked.width, d, generator=generator), dim=1
    )
    weights = Weights(directions, torch.zeros(asked.width), directions.clone(), torch.zeros(d))
    return SparseCoder(site, site, weights, LargestK(K))


def rows_of(subject: Subject, stretch: Stretch) -> list[Tensor]:
    """The batches that all contestants run: start tokens in front."""
    tokens = torch.from_numpy(stretch.tokens.astype(np.int64)).view(len(stretch.lengths), -1)
    if subject.start_token is not None:
        front = torch.full((len(tokens), 1), subject.start_token)
        tokens = torch.cat([front, tokens], dim=1)
    return list(tokens.split(max(1, BATCH // tokens.shape[1])))


def own_ways(
    subject: Subject, dictionary: SparseCoder, stretch: Stretch, folder: Path
) -> Iterator[tuple[str, Way]]:
    batches, weights, site = rows_of(subject, stretch), dictionary.weights, dictionary.reads
    decoder, layer = subject.model.base_model, site_layer(subject, dictionary)
    reader = SiteReader(subject, site, BATCH, find_left_out_tokens(subject, SPECIAL))
    front = int(subject.start_token is not None)

    def forward() -> list[Tensor]:
        with torch.no_grad():
            return [stopped_at(decoder, layer, rows)[:, front:] for rows in batches]

    def bare() -> None:
        for hidden in forward():
            x = hidden.reshape(-1, hidden.shape[-1])
            pre = torch.addmm(weights.encoder_bias, x - weights.bias, weights.encoder.T)
            torch.relu(pre.topk(K, dim=1).values)

    def collect() -> None:
        shards = CodeShards(folder / "shards", "benchmark")
        codes = encode_stretch(reader, dictionary, stretch)
        shards.write(0, 0, stretch.lengths, dictionary.width, codes)
        (folder / "merged").mkdir(exist_ok=True)
        merge = ShardMerge(shards, 1, len(stretch.tokens), len(stretch.lengths))
        merge.write_into(folder / "merged", ignore_progress)

    yield "forward", forward
    yield BARE, bare
    yield "gloss: codes", lambda: encode_stretch(reader, dictionary, stretch)
    yield "gloss: codes, shards, statistics, by feature", collect


def site_layer(subject: Subject, dictionary: SparseCoder) -> torch.nn.Module:
    """The decoder layer whose output the site is."""
    return subject.model.base_model.get_submodule(f"layers.{dictionary.reads.layer}")


class Reached(Exception):
    """The layer was reached, and its output is here."""


def stopped_at(decoder: torch.nn.Module, layer: torch.nn.Module, rows: Tensor) -> Tensor:
    """The output of a layer, of a pass that goes no further."""
    found: list[Tensor] = []

    def hook(_module: object, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)
        raise Reached

    handle = layer.register_forward_hook(hook)
    try:
        decoder(rows)
    except Reached:
        pass
    finally:
        handle.remove()
    return found[0]


def peer_ways(
    subject: Subject, dictionary: SparseCoder, stretch: Stretch, folder: Path
) -> Iterator[tuple[str, Way]]:
    """What the libraries do that are installed: the whole pass, and their own encoder."""
    batches, model = rows_of(subject, stretch), subject.model
    layer = site_layer(subject, dictionary)

    def encode_by(encoder: Callable[[Tensor], object]) -> None:
        with torch.no_grad():
            for x in hidden(model, layer, batches):
                encoder(x)

    if find_spec("sparsify"):
        from sparsify import SparseCoder as Sparsify

        save_dictionary(dictionary, folder / "sparsify", format="sparsify")
        coder = Sparsify.load_from_disk(folder / "sparsify", device="cpu")
        yield "sparsify: pass, encode", lambda: encode_by(coder.encode)
        if find_spec("delphi"):
            yield (
                "delphi: cache, statistics, splits",
                delphi_way(model, coder, layer, batches, folder),
            )
    if find_spec("sae_lens"):
        from sae_lens import SAE

        save_dictionary(dictionary, folder / "sae_lens", format="sae_lens")
        sae = SAE.load_from_disk(folder / "sae_lens", device="cpu")
        yield "SAELens: pass, encode", lambda: encode_by(sae.encode)


def hidden(
    model: torch.nn.Module, layer: torch.nn.Module, batches: list[Tensor]
) -> Iterator[Tensor]:
    """What a layer puts out, of whole passes: these libraries stop nowhere."""
    found: list[Tensor] = []

    def hook(_module: object, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    handle = layer.register_forward_hook(hook)
    try:
        for rows in batches:
            model(rows)
            yield found.pop().flatten(0, 1)
    finally:
        handle.remove()


def delphi_way(
    model: torch.nn.Module,
    coder: torch.nn.Module,
    layer: torch.nn.Module,
    batches: list[Tensor],
    folder: Path,
) -> Way:
    """delphi's cache over the same batches, its statistics, and what it writes."""
    with missing_stood_in():
        from delphi.latents.cache import LatentCache
        from delphi.sparse_coders.load_sparsify import sae_dense_latents
    name = next(name for name, each in model.named_modules() if each is layer)
    tokens = torch.cat(batches)

    def cache() -> None:
        encoders = {name: lambda x: sae_dense_latents(x, coder)}
        with redirect_stderr(open(os.devnull, "w")):  # noqa: PTH123
            made = LatentCache(model, encoders, batch_size=len(batches[0]))
            made.run(tokens.numel(), tokens)
            made.generate_statistics_cache()
            made.save_splits(5, folder / "delphi")

    return cache


@contextmanager
def missing_stood_in() -> Iterator[None]:
    """Let modules be imported by the name alone where they are not installed: delphi imports
    embedders, indices and clients that its cache does not use.
    """

    class Nothing(ModuleType):
        __path__: list[str] = []  # noqa: RUF012

        def __getattr__(self, name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {"__init__": lambda self, *given: None})

    names = ("faiss", "sentence_transformers", "blobfile", "asyncer")
    lacking = [name for name in names if find_spec(name) is None]
    sys.modules.update({name: Nothing(name) for name in lacking})
    try:
        yield
    finally:
        for name in lacking:
            del sys.modules[name]


def as_typed(dictionary: SparseCoder, asked: argparse.Namespace, folder: Path, bare: float) -> Row:
    """What four times as many tokens more add to `gloss collect`, beside what they take bare."""
    save_dictionary(dictionary, folder / "typed")
    spent: dict[int, float] = {}
    for times in (1, 5):
        tokens = times * asked.typed_tokens
        file = folder / f"typed-{times}.toml"
        file.write_text(
            f'[run]\nfolder = "{folder}/run-{times}"\nfeatures = 1\n'
            f'[subject]\nmodel = "{asked.subject}"\ndevice = "cpu"\ndtype = "float32"\n'
            f'[collect]\ntexts = ["{asked.texts}"]\nmax_tokens = {tokens}\n'
            f'[decompose]\ndictionary = "{folder}/typed"\n'
        )
        before = children_seconds()
        command = [str(Path(sys.executable).with_name("gloss")), "collect", str(file)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        spent[times] = children_seconds() - before
    more = 4 * asked.typed_tokens
    each = 1e6 * (spent[5] - spent[1]) / more
    return Row(f"gloss collect as typed, {more:,} tokens more", each, UNIT, each / bare, BARE)


def children_seconds() -> float:
    """Processor time of the processes that this one started, and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
