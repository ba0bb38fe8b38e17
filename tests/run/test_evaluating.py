"""`gloss evaluate` as it is typed: controls beside, what is kept, SAEBench's files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from collect.tiny import SITE, sentences, tiny_dictionary, tiny_subject
from gloss.errors import BadInput, BadSettings, Unwritable
from gloss.evaluate import text_codes
from gloss.evaluate.core import Core
from gloss.evaluate.measure import Aims
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import save_dictionary
from gloss.models.sparse_codes import LargestK
from gloss.records import Estimate, Evaluation, EvaluationRow
from gloss.run import keys
from gloss.run.commands import evaluate as command
from gloss.run.commands.evaluate import (
    EvaluationRequest,
    measures_asked,
    print_evaluation,
)
from gloss.run.commands.evaluated_kinds import kind_differences, split_kind
from gloss.run.methods import build_method
from gloss.run.sources import model_and_dictionary


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, two dictionaries and a text."""
    folder = tmp_path_factory.mktemp("bench")
    subject = tiny_subject()
    subject.model.save_pretrained(folder / "model")
    subject.tokens.tokenizer.save(str(folder / "model" / "tokenizer.json"))
    (folder / "model" / "tokenizer_config.json").write_text('{"bos_token": "<start>"}')
    for seed in (1, 2):
        save_dictionary(tiny_dictionary(seed=seed), folder / f"seed{seed}")
    save_dictionary(tiny_dictionary(width=24, scale=2.0), folder / "wide")
    (folder / "text.txt").write_text("\n".join(text for _, text in sentences(30)))
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which every measuring of `core` adds the width of the dictionary."""
    widths: list[int] = []
    measure: Callable[..., Any] = Core.measure

    def counting(self: Core, dictionary: Any, *rest: Any) -> Any:
        widths.append(dictionary.width)
        return measure(self, dictionary, *rest)

    monkeypatch.setattr(Core, "measure", counting)
    return widths


def evaluate(bench: Path, folder: Path | None = None, **asked: Any) -> None:
    texts = (str(bench / "text.txt"),)
    given: dict[str, Any] = {"texts": texts, "tokens": 600, "folder": folder} | asked
    named = model_and_dictionary(str(bench / "model"), str(bench / "seed1"))
    print_evaluation(*named, EvaluationRequest(**given))


def test_numbers_stand_beside_those_of_a_random_dictionary_and_of_others(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(bench, tmp_path / "out", beside=(str(bench / "seed2"),), random_subject=True)
    assert "written to" in capsys.readouterr().out
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [Path(name).name for name in kept["dictionaries"]] == [
        "seed1",
        "random dictionary",
        "seed2",
        "on a random subject",
    ]
    [core] = kept["measures"]
    values = [
        {row["name"]: row["estimate"]["value"] for row in found["rows"]} for found in core["found"]
    ]
    assert [each["l0"] for each in values] == [4, 4, 4, 4]
    assert values[1]["fvu"] < 1  # scaled to fit, as the drawn directions of the file are not
    assert len({each["fvu"] for each in values}) == 4
    assert all(row["n"] > 0 for found in core["found"] for row in found["rows"])


def test_what_was_measured_is_not_measured_again_and_another_setting_is(
    bench: Path, tmp_path: Path, counted: list[int]
) -> None:
    def found(**asked: Any) -> str:
        evaluate(bench, tmp_path, **asked)
        return (tmp_path / "evaluation.json").read_text()

    first = found()
    assert found() == first
    assert counted == [48, 48]
    found(beside=(str(bench / "wide"),))
    assert counted == [48, 48, 24]
    found(tokens=500)
    assert counted == [48, 48, 24, 48, 48]
    for file in (tmp_path / "kept").glob("*.json"):
        file.write_text(file.read_text()[:-20])  # as no writing of gloss leaves it
    assert found() == first
    assert counted == [48, 48, 24, 48, 48, 48, 48]


@pytest.mark.parametrize(
    "edited, again",
    [
        ("gloss/evaluate/dictionary_check.py", [48, 48]),  # which core imports
        ("gloss/statistics/intervals.py", [48, 48]),  # and this further away
        ("gloss/evaluate/cities/templates.json", [48, 48]),
        ("gloss/decompose/random_dictionary.py", [48]),  # the control's alone
        ("gloss/models/matching_pursuit.py", [48, 48]),  # which a format may read
        ("gloss/collect/left_out_tokens.py", [48, 48]),
        ("gloss/evaluate/absorption.py", []),  # another measure
    ],
)
def test_what_was_measured_is_measured_again_where_the_code_behind_it_was_edited(
    bench: Path,
    tmp_path: Path,
    counted: list[int],
    monkeypatch: pytest.MonkeyPatch,
    edited: str,
    again: list[int],
) -> None:
    evaluate(bench, tmp_path)
    digest = keys.cached_file_digest
    monkeypatch.setattr(
        keys,
        "cached_file_digest",
        lambda file: digest(file) + "edited" * file.as_posix().endswith(edited),
    )
    evaluate(bench, tmp_path)
    assert counted == [48, 48, *again]


def test_a_measure_that_reads_a_file_says_how_it_is_named() -> None:
    with pytest.raises(BadSettings, match=r"as in --set odd_one_out\.triplets=FILE$"):
        build_method("evaluate", {"method": "odd_one_out"})


def test_a_killed_command_goes_on_where_it_was(
    bench: Path, tmp_path: Path, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Core.measure

    def killed_at_the_second(self: Core, dictionary: Any, *rest: Any) -> Any:
        if counted:
            raise MemoryError
        return kept(self, dictionary, *rest)

    with monkeypatch.context() as during:
        during.setattr(Core, "measure", killed_at_the_second)
        with pytest.raises(MemoryError):
            evaluate(bench, tmp_path)
    assert counted == [48]
    evaluate(bench, tmp_path)
    assert counted == [48, 48]


def test_what_the_subject_says_of_labelled_texts_is_read_once_for_all_and_then_removed(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two measures, two dictionaries and a file with two labels of the same texts."""
    rows = [
        f'"{text} {number}",{"ab"[number % 2]},{"xy"[number // 2 % 2]}'
        for number, (_, text) in enumerate(sentences(240, seed=3))
    ]
    (tmp_path / "both.csv").write_text("\n".join(["text,label,kind", *rows]))
    read: list[int] = []
    run: Callable[..., Any] = text_codes._read_vectors

    def counting(subject: Any, rows: Any, *rest: Any) -> Any:
        read.append(len(rows))
        return run(subject, rows, *rest)

    monkeypatch.setattr(text_codes, "_read_vectors", counting)
    small = {"train": 40, "test": 40}
    evaluate(
        bench,
        tmp_path / "out",
        measures=(
            {"method": "sparse_probing", "features": [1], **small},
            {"method": "scr", "features": [2], **small},
        ),
        labels=(str(tmp_path / "both.csv"), f"{tmp_path / 'both.csv'}#kind"),
    )
    assert len(read) == 3  # each set of texts once, and once those of the pair
    assert not (tmp_path / "out" / "vectors").exists()
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    probing, scr = (each["found"] for each in kept["measures"])
    assert len(probing) == len(scr) == 2
    accuracy = next(row for row in probing[0]["rows"] if row["name"] == "accuracy_of_1")
    assert 0 <= accuracy["estimate"]["value"] <= 1
    assert {row["name"] for row in scr[0]["rows"]} == {"scr_2"}


@pytest.fixture(scope="module")
def seeds(bench: Path) -> Callable[[str], list[str]]:
    """The places of five dictionaries of a kind: drawn ones, or almost exact ones."""
    for seed in range(10):
        save_dictionary(tiny_dictionary(width=32, seed=seed), bench / f"drawn{seed}")
    for seed in range(5):
        noise = torch.randn(32, 16, generator=torch.Generator().manual_seed(seed))
        both = torch.cat([torch.eye(16), -torch.eye(16)]) + 0.05 * noise
        weights = Weights(both, torch.zeros(32), both, torch.zeros(16))
        save_dictionary(SparseCoder(SITE, SITE, weights, LargestK(4)), bench / f"exact{seed}")

    def places(kind: str, first: int = 0) -> list[str]:
        return [str(bench / f"{kind}{first + seed}") for seed in range(5)]

    return places


def compared(bench: Path, folder: Path, first: list[str], others: list[str]) -> dict[str, Any]:
    """Numbers of `first` and `second` kinds of dictionaries, by name."""
    named = model_and_dictionary(str(bench / "model"), first[0])
    beside = (*(f"first={each}" for each in first[1:]), *(f"second={each}" for each in others))
    asked = EvaluationRequest(
        texts=(str(bench / "text.txt"),), tokens=600, folder=folder, kind="first", beside=beside
    )
    print_evaluation(*named, asked)
    [core] = json.loads((folder / "evaluation.json").read_text())["measures"]
    return {each["name"]: each for each in core["kinds"]}


def test_five_seeds_of_a_better_kind_are_called_better(
    bench: Path, seeds: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(bench, tmp_path, seeds("drawn"), seeds("exact"))
    assert found["fvu"]["verdict"] == "second is better"
    assert found["fvu"]["difference"]["high"] < 0
    assert found["fvu"]["seeds"] == [5, 5]
    assert found["l0"]["verdict"] == "not told apart"  # four features, of either
    assert "second is better" in " ".join(capsys.readouterr().out.split())
    turned = compared(bench, tmp_path, seeds("exact"), seeds("drawn"))
    assert turned["fvu"]["verdict"] == "first is better"


def test_seeds_of_one_kind_and_too_few_seeds_are_not_called_better(
    bench: Path, seeds: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(bench, tmp_path, seeds("drawn"), seeds("drawn", 5))
    assert found["fvu"]["verdict"] == "not told apart"
    found = compared(bench, tmp_path, seeds("drawn"), seeds("exact")[:4])
    assert found["fvu"]["verdict"] == "4 of 5 seeds have it"
    said = " ".join(capsys.readouterr().err.split())
    assert "5 of first and 4 of second; before one is called better 5 seeds of each" in said
    assert "is better" not in said
    with pytest.raises(BadSettings, match="are the same dictionary"):
        compared(bench, tmp_path, seeds("drawn"), [*seeds("exact"), seeds("exact")[0]])


def test_a_kind_is_named_before_its_dictionary_and_a_file_is_no_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_kind("topk=runs/a#seed-1") == ("topk", "runs/a#seed-1")
    assert split_kind("runs/k=4") == ("", "runs/k=4")
    (tmp_path / "k=4").mkdir()
    assert split_kind("k=4") == ("", "k=4")
    assert split_kind("k=4#seed-1") == ("", "k=4#seed-1")


def test_what_seeds_cannot_change_is_not_told_apart_by_rounding() -> None:
    def shares(number: int, seeds: int) -> list[Evaluation]:
        row = EvaluationRow("task_accuracy", Estimate(number / 47, 0.0, 1.0), 47, "prompts")
        return [Evaluation("control", (row,), ())] * seeds

    for number in range(1, 47):
        kinds = {"a": shares(number, 5), "b": shares(number, 7)}
        [found] = kind_differences(kinds, "a", "b", Aims())
        assert found.verdict("a", "b") == "not told apart", number
        assert not found.varies


def test_one_kind_alone_is_shown_dictionary_by_dictionary(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(bench, tmp_path, beside=(f"only={bench / 'seed2'}",))
    # number, n, the dictionary, the random one, the other, notes
    assert capsys.readouterr().out.count("┳") == 5


def test_a_dictionary_counts_once_under_whatever_name(bench: Path, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(bench / "seed2")
    beside = (f"a={bench / 'seed2'}", f"b={tmp_path / 'again'}")
    with pytest.raises(BadSettings, match="are the same dictionary"):
        evaluate(bench, beside=beside)


def test_saebenchs_file_has_its_names(bench: Path, tmp_path: Path) -> None:
    evaluate(bench, saebench=tmp_path / "results")
    files = sorted((tmp_path / "results" / "core").glob("*_eval_results.json"))
    assert len(files) == 2
    found = json.loads(files[-1].read_text())
    assert found["eval_type_id"] == "core"
    metrics = found["eval_result_metrics"]
    assert set(metrics) == {
        "model_behavior_preservation",
        "model_performance_preservation",
        "reconstruction_quality",
        "shrinkage",
        "sparsity",
        "token_stats",
        "misc_metrics",
    }
    assert all(isinstance(x, int | float) for each in metrics.values() for x in each.values())
    behaviour = metrics["model_behavior_preservation"]
    score = 1 - behaviour["kl_div_with_sae"] / behaviour["kl_div_with_ablation"]
    assert behaviour["kl_div_score"] == pytest.approx(score)
    assert found["sae_cfg_dict"]["d_sae"] == 48


def test_what_cannot_be_loaded_keeps_no_other_from_saebenchs_files(
    bench: Path, tmp_path: Path
) -> None:
    narrow = Weights(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8))
    save_dictionary(SparseCoder(SITE, SITE, narrow, LargestK(2)), tmp_path / "narrow")
    evaluate(bench, saebench=tmp_path / "results", beside=(str(tmp_path / "narrow"),))
    assert len(list((tmp_path / "results" / "core").glob("*_eval_results.json"))) == 2


def test_vectors_are_removed_also_where_results_cannot_be_written(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise Unwritable("the disk is full")

    monkeypatch.setattr(command, "write_results", full)
    (tmp_path / "vectors").mkdir()
    with pytest.raises(Unwritable):
        evaluate(bench, tmp_path)
    assert not (tmp_path / "vectors").exists()


def test_what_names_nothing_is_refused_and_what_does_not_fit_is_said_to_fail(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadSettings, match="no method 'cores'; did you mean 'core'"):
        evaluate(bench, measures=({"method": "cores"},))
    with pytest.raises(BadSettings, match=r"--set core=3 names no setting"):
        measures_asked(["core"], ["core=3"])
    with pytest.raises(BadSettings, match="tpp learns from texts with labels; give --labels"):
        evaluate(bench, measures=({"method": "tpp"},))
    with pytest.raises(BadInput, match="no_such_set is no file here"):
        evaluate(bench, measures=({"method": "tpp"},), labels=("no_such_set",), folder=tmp_path)
    narrow = Weights(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8))
    save_dictionary(SparseCoder(SITE, SITE, narrow, LargestK(2)), tmp_path / "narrow")
    evaluate(bench, beside=(str(tmp_path / "narrow"),))
    said = " ".join(capsys.readouterr().err.split())
    assert "not measured: core (" in said
    assert "vectors of 8 numbers" in said


def test_a_file_that_a_measure_reads_is_looked_at_first_and_measured_anew_where_it_changed(
    bench: Path, tmp_path: Path, counted: list[int]
) -> None:
    file = tmp_path / "triplets.jsonl"
    asked = {"method": "odd_one_out", "triplets": str(file)}
    with pytest.raises(BadInput, match=r"triplets\.jsonl cannot be read"):
        evaluate(bench, measures=({"method": "core"}, asked))
    assert counted == []
    texts = ["red", "blue", "seven"]
    found = set[str]()
    for odd in (0, 1, 0):
        file.write_text(json.dumps({"texts": texts, "odd": odd}))
        evaluate(bench, tmp_path / "out", measures=(asked,))
        found.add((tmp_path / "out" / "evaluation.json").read_text())
    assert len(found) == 2
    assert len([*(tmp_path / "out" / "kept").iterdir()]) == 2 * 2


def test_settings_are_read_as_toml_and_else_as_text() -> None:
    asked = measures_asked(["a", "b"], ["a.k=[1, 2]", "b.pool=mean", "a.most=4"])
    assert asked == ({"method": "a", "k": [1, 2], "most": 4}, {"method": "b", "pool": "mean"})
    assert measures_asked([], []) == ({"method": "core"},)


def test_a_list_of_whole_numbers_takes_no_others() -> None:
    for features in ([2.5], [True], ["2"], 2):
        with pytest.raises(BadSettings, match="features must be a list of whole numbers"):
            build_method("evaluate", {"method": "tpp", "features": features})
    found = build_method("evaluate", {"method": "tpp", "features": [3]})
    assert found.features == (3,)
