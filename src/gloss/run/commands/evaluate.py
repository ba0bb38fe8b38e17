"""Behind `gloss evaluate`: measures of a dictionary beside the same measures of controls, kept as
they come.
"""

import json
import math
import tempfile
import tomllib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.decompose.random_dictionary import RandomDirections, random_dictionary_like
from gloss.errors import BadSettings, GlossError
from gloss.evaluate.dictionary_check import text_positions
from gloss.evaluate.measure import (
    Aims,
    DictionaryMeasure,
    Material,
    ScoresMeasure,
)
from gloss.evaluate.saebench import FORMS, saebench_result
from gloss.installed import installed
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.labelled_sets import labelled_file
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.model_settings import LeaveOut
from gloss.models.sites import JointSite
from gloss.models.subject import Subject, untrained_subject
from gloss.records import (
    Estimate,
    Evaluation,
    EvaluationFailure,
    EvaluationRow,
    Needs,
    needs_of,
)
from gloss.run.commands.check import read_checked_corpus, sequence_batches
from gloss.run.commands.evaluated_kinds import (
    LEAST_SEEDS,
    KindDifference,
    kind_differences,
    plain_difference,
    print_kinds,
    split_kind,
)
from gloss.run.commands.evaluated_scores import run_scores
from gloss.run.dependencies import code_and_weights, dictionary_hash
from gloss.run.keys import deep_code_hash, fingerprint, module_hash, result_key, source_hash
from gloss.run.methods import SettingsMapping, build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import out, print_notes, progress_bar
from gloss.run.sources import NamedDictionary, NamedModel
from gloss.store.atomic import remove_path, write_json
from gloss.store.corpus import Corpus

SAMPLE = 2**14  # tokens that say how often the random dictionary's features fire
RANDOM_DICTIONARY, RANDOM_SUBJECT = "random dictionary", "on a random subject"
# how text is read and which of its tokens count, whatever the measure
READING = ("gloss.collect.left_out_tokens", "gloss.collect.tokens")
KEPT = "kept"  # in the folder of the results: one file for each measure and dictionary


@dataclass(frozen=True)
class EvaluationRequest:
    """What is measured, on what, and where it is kept."""

    measures: tuple[SettingsMapping, ...] = ({"method": "core"},)
    texts: tuple[str, ...] = ("stdlib",)
    tokens: int = 50_000
    labels: tuple[str, ...] = ()
    leave_out: LeaveOut = "special"
    massive: float = 10.0
    kind: str = ""  # of the dictionary, where kinds are to be told apart
    beside: tuple[str, ...] = ()  # each perhaps as KIND=DICTIONARY
    random_subject: bool = False
    seed: int = 0
    folder: Path | None = None
    saebench: Path | None = None

    @property
    def text_content(self) -> list[object]:
        """What decides which tokens are read."""
        sources = [source_hash(each) for each in self.texts]
        return [sources, self.tokens, str(self.leave_out), self.massive]


@dataclass(frozen=True)
class Column:
    """A dictionary that is measured, the asked one or one that stands beside it."""

    name: str
    content: object  # what decides its numbers
    load: Callable[[], Dictionary] = field(compare=False)
    random_subject: bool = False
    kind: str = ""  # of dictionaries that differ in their seeds
    run: OpenedRun | None = None  # that explained its features
    control: str = ""  # or the control of that run which did
    named: NamedDictionary | None = None  # what was named, where something was


def measures_asked(names: Sequence[str], settings: Sequence[str]) -> tuple[SettingsMapping, ...]:
    """The measures of these names, each with its settings, given as MEASURE.SETTING=VALUE.

    A value is as in TOML; what is none is text. Raises BadSettings for what names none of them.

        >>> measures_asked(["sparse_probing"], ["sparse_probing.most=400"])
        ({'method': 'sparse_probing', 'most': 400},)
    """
    asked = {name: dict[str, Any](method=name) for name in dict.fromkeys(names or ["core"])}
    for each in settings:
        where, equals, value = each.partition("=")
        measure, dot, setting = where.strip().partition(".")
        if not equals or not dot or measure not in asked:
            raise BadSettings(
                f"--set {each} names no setting of {', '.join(asked)}; write it as"
                f" {min(asked)}.SETTING=VALUE"
            )
        try:
            asked[measure][setting] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            asked[measure][setting] = value.strip()
    return tuple(asked.values())


@dataclass(frozen=True)
class Bench:
    """A subject, what it reads, and the dictionaries that are measured on it; nothing is loaded
    before it is wanted.
    """

    model: NamedModel
    dictionary: NamedDictionary
    asked: EvaluationRequest
    scratch: Path

    @property
    def vectors(self) -> Path:
        """Where what the subject says of labelled texts lies until all is measured."""
        return (self.asked.folder or self.scratch) / "vectors"

    @cached_property
    def subject(self) -> Subject:
        return self.model.load()

    @cached_property
    def corpus(self) -> Corpus:
        asked = self.asked
        return read_checked_corpus(
            self.subject,
            self.model.settings,
            asked.texts,
            asked.tokens,
            asked.leave_out,
            self.scratch / "corpus",
        )

    @cached_property
    def labelled(self) -> Mapping[str, LabelledTexts]:
        return {name: LabelledTexts.read(name) for name in self.asked.labels}

    def material(self, needs: Needs, *, random_subject: bool) -> Material:
        """What a measure with these needs is given."""
        subject = self.untrained if random_subject else self.subject
        return Material(
            subject,
            sequence_batches(self.corpus, subject.start_token) if needs.corpus else (),
            find_left_out_tokens(subject, self.asked.leave_out),
            self.asked.massive,
            self.labelled if needs.labels else {},
            self.vectors
            / result_key(self.model.content, random_subject and self.asked.seed, self.code),
            self.asked.seed,
        )

    @cached_property
    def code(self) -> list[str]:
        """The code of the measures, by which what they keep for each other goes, too."""
        points = installed("gloss.evaluate")
        return [deep_code_hash(points[str(each["method"])]) for each in self.asked.measures]

    @cached_property
    def untrained(self) -> Subject:
        return untrained_subject(self.subject, np.random.default_rng(self.asked.seed))

    @cached_property
    def main(self) -> Dictionary:
        return self._load(self.dictionary)

    def columns(self) -> Iterator[Column]:
        """The dictionary, a random one of its width and sparsity, and those that were named."""
        own = self.dictionary.content
        run = self.dictionary.run
        yield Column(
            self.dictionary.name,
            own,
            lambda: self.main,
            kind=self.asked.kind,
            run=run,
            named=self.dictionary,
        )
        code = deep_code_hash(installed("gloss.decompose")["random"])
        drawn = ["random", own, self.asked.seed, self.asked.text_content, code]
        yield Column(
            RANDOM_DICTIONARY, drawn, lambda: self._random, False, "", run, RANDOM_DICTIONARY
        )
        for given in self.asked.beside:
            kind, name = split_kind(given)
            named = NamedDictionary.of(name, self.dictionary.site)
            yield Column(
                name,
                named.content,
                lambda named=named: self._load(named),
                kind=kind,
                run=named.run,
                named=named,
            )
        if self.asked.random_subject:
            yield Column(RANDOM_SUBJECT, own, lambda: self.main, True, "", run, "random subject")

    def _load(self, named: NamedDictionary) -> Dictionary:
        found = named.load(self.subject)
        require_fit(found, self.subject)
        return found

    @cached_property
    def _random(self) -> Dictionary:
        """Random directions: as many of them a token as the dictionary has active features; for a
        transcoder and for one of several sites, feature by feature as often as its own fire.
        """
        subject, asked = self.subject, self.main
        material = self.material(Needs(corpus=True), random_subject=False)
        parts: list[Any] = []
        for tokens in material.batches:
            text = text_positions(tokens, subject.start_token, material.left_out)
            vectors = subject.run(tokens, read=(asked.reads,)).activations[asked.reads]
            parts.append(vectors[text.to(vectors.device)].float().cpu())
            if sum(map(len, parts)) >= SAMPLE:
                break
        rng = np.random.default_rng(self.asked.seed)
        codes = [asked.encode(each.to(subject.device_at(asked.reads))) for each in parts]
        active = sum(int(each.used.sum()) for each in codes)
        seen = sum(map(len, parts))
        if asked.reads == asked.writes and not isinstance(asked.reads, JointSite):
            k = min(max(1, round(active / seen)), asked.width)
            fitted = RandomDirections(asked.width, k, seen)
            drawn = fitted.fit(iter(parts), asked.reads, rng, massive=self.asked.massive)
        else:
            import torch

            counts = sum(c.indices[c.used].bincount(minlength=asked.width).cpu() for c in codes)
            rates = np.asarray(counts, dtype=np.float64) / seen
            drawn = random_dictionary_like(asked, torch.cat(parts), rates, rng)
        return drawn.to(subject.device)


def print_evaluation(
    model: NamedModel, dictionary: NamedDictionary, asked: EvaluationRequest
) -> None:
    """Measure, print and keep. Raises GlossError where nothing of the dictionary was measured."""
    measures = [(each, build_method("evaluate", each)) for each in asked.measures]
    for settings, measure in measures:
        if needs_of(measure).labels and not asked.labels:
            raise BadSettings(
                f"{settings['method']} learns from texts with labels; give --labels FILE, or a set"
                " of the wheel sae-probes, as in --labels 97_news_class"
            )
        if needs_of(measure).files:
            measure.require_files()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(model, dictionary, asked, scratch)
        columns = list(bench.columns())
        require_other_seeds(columns)
        results: dict[str, list[Evaluation]] = {}
        doing = [""]
        with progress_bar("evaluate", "measurements", lambda: doing[0]) as report:
            for number, (settings, measure) in enumerate(measures):
                name = str(settings["method"])
                results[name] = []
                for place, column in enumerate(columns):
                    doing[0] = f"{name} of {column.name}"
                    report(number * len(columns) + place, len(measures) * len(columns))
                    results[name].append(measured(bench, column, settings, measure))
            doing[0] = ""
            report(len(measures) * len(columns), len(measures) * len(columns))
        remove_path(bench.vectors)
        aims = {str(each["method"]): getattr(measure, "aims", Aims()) for each, measure in measures}
        differences = {
            name: list(differences_of_kinds(columns, found, aims[name]))
            for name, found in results.items()
        }
        # what a table of kinds sums up is not shown by itself
        counts = Counter(column.kind for column in columns if column.kind)
        tabled = len(counts) > 1 and min(counts.values()) >= LEAST_SEEDS
        shown = [place == 0 or not (tabled and column.kind) for place, column in enumerate(columns)]
        nothing = not any(found[0].rows for found in results.values())
        for name, found in results.items():
            if any(each.rows for each in found):
                names = [column.name for column in compress(columns, shown)]
                out.print(evaluation_table(name, names, list(compress(found, shown))))
            if not nothing:
                print_failures(columns, found)
            for kinds, each in differences[name]:
                print_kinds(name, kinds, each, numbers_cell)
        write_results(bench, columns, results, differences)
    if nothing:
        reasons = [each.reason for found in results.values() for each in found[0].failures]
        raise BadSettings(f"nothing was measured: {'; '.join(reasons) or 'no rows'}")


def measured(
    bench: Bench,
    column: Column,
    settings: SettingsMapping,
    measure: DictionaryMeasure | ScoresMeasure,
) -> Evaluation:
    """What one measure says of one dictionary, as it was kept, or anew.

    What cannot be measured at all is a failure, and is tried again the next time.
    """
    asked, needs = bench.asked, needs_of(measure)
    name = str(settings["method"])
    rng = np.random.default_rng([asked.seed, zlib.crc32(name.encode())])
    if isinstance(measure, ScoresMeasure):  # is read, and not kept a second time
        try:
            return measure.measure_scores(run_scores(column.name, column.run, column.control), rng)
        except GlossError as problem:
            return Evaluation(name, (), (EvaluationFailure("", str(problem)),))
    file = asked.folder and (
        asked.folder / KEPT / f"{name}-{evaluation_key(bench, column, settings, needs)}.json"
    )
    if file and (kept := read_kept(file)):
        return kept
    try:
        found = measure.measure(
            column.load(), bench.material(needs, random_subject=column.random_subject), rng
        )
    except GlossError as problem:
        return Evaluation(name, (), (EvaluationFailure("", str(problem)),))
    if file:
        write_json(file, found.plain())
    return found


def evaluation_key(bench: Bench, column: Column, settings: SettingsMapping, needs: Needs) -> str:
    """A key of everything that decides what a measure says of a dictionary."""
    asked = bench.asked
    return result_key(
        dict(settings),
        deep_code_hash(installed("gloss.evaluate")[str(settings["method"])]),
        [*map(deep_code_hash, installed("gloss.format").values()), *map(module_hash, READING)],
        bench.model.content,
        [column.content, column.random_subject],
        asked.text_content if needs.corpus else [asked.massive, str(asked.leave_out)],
        [labels_content(each) for each in asked.labels] if needs.labels else "",
        asked.seed,
        *([code_and_weights("evaluate", settings)] if needs.files else []),
    )


def labels_content(source: str) -> list[str]:
    """What stands behind the name of a labelled set. Raises BadInput where nothing does."""
    path, column = labelled_file(source)
    return [fingerprint(path), column]


def read_kept(file: Path) -> Evaluation | None:
    """What was measured before; None where nothing was, or where the file is damaged."""
    try:
        return Evaluation.from_plain(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def evaluation_table(measure: str, columns: Sequence[str], found: Sequence[Evaluation]) -> Table:
    """A row a number, a column a dictionary, the asked one first; by what the numbers are of."""
    table = Table("number", "n", *map(escape, columns), "", title=Text(measure))
    held = [{(row.of, row.name): row for row in each.rows} for each in found]
    places = dict.fromkeys(place for each in held for place in each)
    for of in dict.fromkeys(of for of, _ in places):
        if of:
            table.add_section()
            table.add_row(Text(of, "bold"))
        for place in places:
            if place[0] == of:
                row = next(each[place] for each in held if place in each)
                cells = [evaluation_cell(each.get(place), row.n) for each in held]
                name = Text(row.name.replace("_", " "))
                table.add_row(name, f"{row.n:,} {row.unit}", *cells, Text(row.note))
    return table


def evaluation_cell(row: EvaluationRow | None, n: int) -> str:
    """The number, and its interval below, where it has one; and its n, where that is another."""
    cell = numbers_cell(row.estimate if row else Estimate.missing())
    return cell if row is None or row.n == n else f"{cell}\n[dim]of {row.n:,}[/]"


def numbers_cell(found: Estimate) -> str:
    """A number, and its interval below."""
    value, low, high = found.value, found.low, found.high
    if math.isnan(value):
        return "-"
    return f"{value:.4g}" + ("" if math.isnan(low) else f"\n[dim]{low:.3g} to {high:.3g}[/]")


def print_failures(columns: Sequence[Column], found: Sequence[Evaluation]) -> None:
    """What could not be measured, and why; once, where it is the same for several."""
    whose: dict[tuple[str, str, str], list[str]] = {}
    for column, each in zip(columns, found, strict=True):
        for failure in each.failures:
            whose.setdefault((each.measure, failure.of, failure.reason), []).append(column.name)
    for (measure, of, reason), names in whose.items():
        where = "" if len(names) == len(columns) else f" ({', '.join(names)})"
        print_notes(f"  not measured: {measure}{f' of {of}' if of else ''}{where}: {reason}")


def require_other_seeds(columns: Sequence[Column]) -> None:
    """Raise BadSettings where a dictionary stands twice for kinds, under whatever names."""
    seen: dict[str, str] = {}
    for column in columns:
        if column.kind and column.named:
            folder = column.named.folder
            content = dictionary_hash(folder) if folder.exists() else column.named.content
            if content in seen:
                raise BadSettings(
                    f"{column.name} and {seen[content]} are the same dictionary, and count once;"
                    " give another seed"
                )
            seen[content] = column.name


def differences_of_kinds(
    columns: Sequence[Column], found: Sequence[Evaluation], aims: Aims
) -> Iterator[tuple[tuple[str, str], list[KindDifference]]]:
    """Every kind beside the first."""
    kinds: dict[str, list[Evaluation]] = {}
    for column, each in zip(columns, found, strict=True):
        if column.kind:
            kinds.setdefault(column.kind, []).append(each)
    first, *others = kinds or [""]
    for other in others:
        yield (first, other), list(kind_differences(kinds, first, other, aims))


def write_results(
    bench: Bench,
    columns: Sequence[Column],
    results: Mapping[str, Sequence[Evaluation]],
    differences: Mapping[str, Sequence[tuple[tuple[str, str], Sequence[KindDifference]]]],
) -> None:
    """Write `evaluation.json`, and SAEBench's files, where they were asked for."""
    asked = bench.asked
    settings = {str(each["method"]): dict(each) for each in asked.measures}
    if asked.folder:
        content = {
            "model": bench.model.settings.model,
            "dictionaries": [column.name for column in columns],
            "texts": asked.texts,
            "tokens": asked.tokens,
            "labels": asked.labels,
            "seed": asked.seed,
            "measures": [
                {
                    "settings": settings[name],
                    "found": [each.plain() for each in found],
                    "kinds": [
                        plain_difference(each, *kinds)
                        for kinds, found_of in differences[name]
                        for each in found_of
                    ],
                }
                for name, found in results.items()
            ],
        }
        write_json(asked.folder / "evaluation.json", content)
        out.print(f"written to {asked.folder / 'evaluation.json'}", highlight=False)
    if asked.saebench:
        for name, found in results.items():
            for column, each in zip(columns, found, strict=True):
                if name not in FORMS or not each.rows:
                    continue
                about = {"model_name": bench.model.settings.model, "name": column.name}
                result = saebench_result(each, column.load(), settings[name], about)
                if result is not None:
                    slug = "".join(c if c.isalnum() or c in "-." else "_" for c in column.name)
                    write_json(asked.saebench / name / f"{slug}_eval_results.json", result)
