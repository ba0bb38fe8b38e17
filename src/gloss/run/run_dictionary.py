"""The subject and the dictionary that a run reads with: whatever of it holds weights."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from gloss.collect.activation_batches import ShuffleSettings, activation_batches
from gloss.collect.collect import Collect
from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.mined_part import Mining
from gloss.collect.split_counts import SplitCounts
from gloss.collect.subject_reader import SubjectReader
from gloss.collect.tokens import read_texts
from gloss.decompose.checkpoints import Checkpoints
from gloss.decompose.fit import (
    SparseTrainer,
    Trainee,
    TrainingProgress,
    fit_together,
    joint_sites,
)
from gloss.decompose.foreign_training import ForeignTrainer
from gloss.decompose.random_dictionary import random_dictionary_like
from gloss.errors import BadSettings
from gloss.evaluate.dictionary_check import measure_reconstruction
from gloss.models.dictionary import Dictionary, SparseCoder, require_fit
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.formats.dictionary_folder import CONFIGURATION_FILE
from gloss.models.hyperdimensional_probe import HyperdimensionalProbe
from gloss.models.joint_coder import JointCoder
from gloss.models.massive_tokens import VectorLengths
from gloss.models.matching_pursuit import MatchingPursuit
from gloss.models.neurons import neurons_at
from gloss.models.pretrained.loading import TORCH_DTYPES
from gloss.models.sites import Site, parse_site
from gloss.models.subject import Subject, untrained_subject
from gloss.records import Estimate, needs_of
from gloss.run.commands.check import sequence_batches
from gloss.run.corpus_texts import open_run_texts
from gloss.run.experiment import RANDOM, TRAINED
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import print_notes, progress_bar
from gloss.run.sources import dictionary_folder, reads_neurons
from gloss.run.subject_loading import load_recorded_subject
from gloss.run.trained_beside import ALSO, trained_beside, trainer_settings
from gloss.statistics.intervals import ratio_with_interval
from gloss.store.corpus import Corpus
from gloss.store.progress import Progress
from gloss.store.sealed_json import damage_error

CARD_TOKENS = 2**13  # of the text, by which a trained dictionary's card is measured
TrainedDictionary = SparseCoder | MatchingPursuit | HyperdimensionalProbe | JointCoder
ENDLESS = 10**6  # epochs; the trainer stops by itself


def load_run_subject(run: OpenedRun) -> Subject:
    """The subject of an experiment, loaded once in a process.

    Random weights are drawn by the run's seed.
    """
    asked = run.experiment.subject
    subject = load_recorded_subject(replace(asked, weights=TRAINED), run.place("decompose"))
    return (
        untrained_subject(subject, run.generator("random subject"))
        if asked.weights == RANDOM
        else subject
    )


def load_or_train_dictionary(run: OpenedRun, subject: Subject) -> Dictionary:
    """Load the dictionary, or train it where the run does and has not yet.

    Raises Mismatch where it does not fit the subject.
    """
    part = run.part("decompose", 0)
    trains = "method" in run.experiment.decompose
    if not part.is_done and trains:
        told = list[str]()  # by the trainer, the latest last
        with progress_bar("decompose", "tokens", lambda: "".join(told[-1:])) as progress:
            train_dictionary(run, subject, progress, told)
    dictionary = load_run_dictionary(run, subject)
    require_fit(dictionary, subject)
    if not part.is_done:
        made = [part.folder / name for name in ("corpus", "dictionary", ALSO)] if trains else []
        part.write({}, beside=[folder for folder in made if folder.exists()])
    return dictionary


def load_run_dictionary(run: OpenedRun, subject: Subject) -> Dictionary:
    """The run's dictionary: the neurons of a layer, a folder of weights, or what the run has
    trained.
    """
    site = run.experiment.decompose.get("site")
    if reads_neurons(run):
        if not site:
            raise BadSettings(
                '[decompose] dictionary = "neurons" needs the site of a layer\'s neurons, such as'
                ' site = "mlp_act.1"'
            )
        return neurons_at(subject, subject.site(site), run.experiment.decompose.get("keep", 0))
    require_as_trained(run)
    found = load_dictionary(dictionary_folder(run), parse_site(site) if site else None, subject)
    found = found.to(subject.device_at(found.reads))
    dtype = run.experiment.decompose.get("dtype")
    return with_encoder_dtype(found, TORCH_DTYPES[dtype]) if dtype else found


def with_encoder_dtype(dictionary: Dictionary, dtype: torch.dtype) -> Dictionary:
    """The same dictionary, whose encoder's products are taken in this type of number.

    Raises BadSettings where it has no encoder that is known here.
    """
    if not isinstance(dictionary, SparseCoder):
        raise BadSettings(
            f"[decompose].dtype wants a dictionary with an encoder, and this is a"
            f" {type(dictionary).__name__}; leave dtype out"
        )
    weights = replace(dictionary.weights, encoder=dictionary.weights.encoder.to(dtype))
    return replace(dictionary, weights=weights)


def require_as_trained(run: OpenedRun) -> None:
    """Raise Damaged where the dictionary that the run trained is not as it was written."""
    part = run.part("decompose", 0)
    for path, why in part.changed_files(whole=True).items() if part.is_done else ():
        if path.parent == dictionary_folder(run):
            raise damage_error(path, why)


def load_subject_and_dictionary(run: OpenedRun) -> tuple[Subject, Dictionary]:
    """What is read and changed. Raises Mismatch for a dictionary that does not fit."""
    subject = load_run_subject(run)
    dictionary = load_run_dictionary(run, subject)
    require_fit(dictionary, subject)
    return subject, dictionary


def train_dictionary(run: OpenedRun, subject: Subject, progress: Progress, told: list[str]) -> None:
    """Train on the experiment's texts, read again and again as often as the trainer wants.

    Not where the dictionary is there. What the trainer says of itself is added to `told`.
    """
    asked, site = run.experiment.collect, subject.site(run.experiment.decompose["site"])
    trainer = build_method("decompose", run.experiment.trainer)
    beside = trainees_beside(run, subject)
    learning = [*own_trainee(trainer, site), *beside.values()]
    sites = joint_sites(learning) or (site,)
    require_training_memory(
        learning, {each: subject.width_at(subject.site(each)) for each in sites}
    )
    if needs_of(trainer).files:
        trainer.require_files()
    require_libraries([trainer, *(each.method for each in learning)])
    folder = run.place("decompose") / "corpus"
    read_texts(
        subject,
        open_run_texts(run),
        folder,
        asked.context_length,
        asked.max_tokens or None,
        asked.leave_out,
    )
    if (dictionary_folder(run) / CONFIGURATION_FILE).exists():  # which is written last
        return
    SplitCounts.of(folder).require_both()  # before anything is trained
    rng = run.generator("decompose")
    corpus = Corpus.open(folder)
    # mixes all of a small corpus, without reading it many times first
    enough = min(ShuffleSettings().buffer_tokens, 2 * len(corpus))
    shuffle, special = (
        ShuffleSettings(epochs=ENDLESS, buffer_tokens=enough),
        find_left_out_tokens(subject, asked.leave_out),
    )
    batches = activation_batches(subject, sites, corpus, rng, shuffle, left_out=special)
    batches.filling = progress

    def show(step: TrainingProgress) -> None:
        told.append(str(step))
        progress(step.tokens, step.of_tokens)

    kept = Checkpoints(run.place("decompose") / "checkpoint.safetensors")
    if beside:
        longest = max(learning, key=lambda each: each.method.tokens)
        shown = [replace(each, progress=show if each is longest else None) for each in learning]
        made = fit_together(shown, batches, rng, asked.massive, kept)
    else:
        more = {"checkpoints": kept} if getattr(trainer, "resumes", False) else {}
        more |= {"subject": subject} if getattr(trainer, "reads_subject", False) else {}
        made = [trainer.fit(batches, site, rng, show, asked.massive, **more)]
    # the run's own last, by which it is known that all are there
    places = [dictionary_folder(run), *(run.place("decompose") / ALSO / name for name in beside)]
    methods = [trainer, *(each.method for each in beside.values())]
    for method, place, found in reversed([*zip(methods, places, made, strict=True)]):
        # some methods compute on the processor
        dictionary = cast(TrainedDictionary, found.to(subject.device))
        save_dictionary(
            with_measured_card(run, subject, dictionary, corpus),
            place,
            format=getattr(method, "saved_as", "sae_lens"),
        )
    kept.remove()


def require_libraries(trainers: Sequence[object]) -> None:
    """Raise BadSettings where one trains with a library that is not installed."""
    for trainer in trainers:
        if isinstance(trainer, ForeignTrainer):
            trainer.require_library()


def own_trainee(trainer: object, site: Site) -> list[Trainee]:
    """The run's own, where it learns step by step."""
    return [Trainee(trainer, site)] if isinstance(trainer, SparseTrainer) else []


def trainees_beside(run: OpenedRun, subject: Subject) -> dict[str, Trainee]:
    """What is trained in the same pass, by name."""
    return {
        name: Trainee(
            build_method("decompose", trainer_settings(settings)),
            subject.site(settings["site"]),
            settings.get("seed"),
        )
        for name, settings in trained_beside(run.experiment.decompose).items()
    }


def with_measured_card(
    run: OpenedRun, subject: Subject, dictionary: TrainedDictionary, corpus: Corpus
) -> TrainedDictionary:
    """The dictionary with what its first text says of it on its card: how well it reconstructs, and
    which tokens are massive.
    """
    asked, rng = run.experiment.collect, run.generator("card")
    most = int(np.searchsorted(corpus.offsets, CARD_TOKENS, side="right"))
    batches = sequence_batches(corpus, subject.start_token, most)
    found = measure_reconstruction(
        subject, dictionary, batches, find_left_out_tokens(subject, asked.leave_out), asked.massive
    )
    every, normal = found.every, found.normal
    card = replace(
        dictionary.card,
        fvu=finite_value(ratio_with_interval(every.errors, every.distances, rng)),
        fvu_normal=finite_value(ratio_with_interval(normal.errors, normal.distances, rng)),
        l0=finite_value(ratio_with_interval(every.active, every.tokens, rng)),
        massive_share=found.massive / every.tokens.sum(),
        median_length=found.median_length,
    )
    if found.massive:
        print_notes(
            f"  {card.massive_share:.2%} of the tokens are massive and taught nothing; FVU"
            f" {card.fvu_normal:.3f} without them, {card.fvu:.3f} with them"
        )
    return replace(dictionary, card=card)


def finite_value(estimate: Estimate) -> float | None:
    """The value, where there is one."""
    return None if math.isnan(estimate.value) else estimate.value


def require_training_memory(learning: Sequence[Trainee], widths: Mapping[Site, int]) -> None:
    """Refuse dictionaries that cannot be trained in this machine's memory. The vectors of all
    sites, of these widths, wait together to be mixed.
    """
    row = sum(widths.values())
    needed = sum(
        each.method.memory([widths[site] for site in each.method.sites(each.site)])
        for each in learning
    )
    needed += 4 * ShuffleSettings().buffer_tokens * row
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise BadSettings(
            f"[decompose] wants {needed / 2**30:,.0f} GiB to train on {row:,} numbers a token, and"
            f" this machine has {there / 2**30:,.0f} GiB; give a smaller width or batch"
        )


def save_random_dictionary(run: OpenedRun, folder: Path, tokens: int) -> None:
    """Write the dictionary of random directions that fire as often as the run's features, judged by
    this many tokens.
    """
    subject = load_run_subject(run)
    dictionary = load_run_dictionary(run, subject)
    rng = run.generator("random dictionary")
    special, lengths = (
        find_left_out_tokens(subject, run.experiment.collect.leave_out),
        collected_lengths(run),
    )
    shuffle = ShuffleSettings(buffer_tokens=2 * tokens)
    batches = activation_batches(
        subject, dictionary.reads, run.corpus, rng, shuffle, left_out=special, lengths=lengths
    )
    sample: list[Tensor] = []
    while sum(map(len, sample)) < tokens and (batch := next(batches, None)) is not None:
        sample.append(batch.float().cpu())
    rates = run.activations.counts / run.activations.counted_tokens
    drawn = random_dictionary_like(dictionary, torch.cat(sample), rates, rng)
    save_dictionary(drawn, folder, "joint" if isinstance(drawn, JointCoder) else "sae_lens")


def collected_lengths(run: OpenedRun) -> VectorLengths:
    """How long the vectors at the dictionary's site are, as the run found out when it collected."""
    return VectorLengths(run.activations.manifest["median_length"], run.experiment.collect.massive)


def build_collector(run: OpenedRun) -> Collect:
    """Collecting as the experiment wants it."""
    asked = run.experiment.collect
    return Collect(
        context_length=asked.context_length,
        max_tokens=asked.max_tokens or None,
        leave_out=asked.leave_out,
        massive=asked.massive,
        batch_tokens=asked.batch_tokens,
        shard_tokens=asked.shard_tokens,
        mined=Mining(**asked.mining, seed=run.experiment.run.seed) if asked.mining else None,
    )


def open_text_reader(run: OpenedRun) -> SubjectReader:
    """Reads new texts with the subject, the dictionary and the length of sequences that the run
    collected with.
    """
    subject = load_run_subject(run)
    dictionary = load_run_dictionary(run, subject)
    room = run.experiment.collect.context_length - (subject.start_token is not None)
    return SubjectReader(
        build_collector(run).forward(subject, dictionary, collected_lengths(run)),
        dictionary,
        room,
    )
