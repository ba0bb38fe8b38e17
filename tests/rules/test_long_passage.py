"""A passage that rests in files says what one in memory says, and takes little memory."""

import mmap
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.errors import Unwritable
from gloss.rules import Passage, resting_arrays
from gloss.rules.long_passage import LongPassage
from gloss.rules.occurrences import Occurrences
from gloss.rules.resting_arrays import (
    file_bytes_in_memory,
    let_go,
    look_up,
    resting_array,
    smallest_type,
)
from gloss.rules.sparse_execution import execute_sparsely
from gloss.store.corpus import resting_tokens
from rules.random_rules import WORDS, drawn_rules, rule_of

MUCH = 2**26

sequences = st.lists(st.lists(st.integers(0, len(WORDS) - 1), max_size=25), max_size=12)


@settings(max_examples=150, deadline=None)
@given(drawn_rules, sequences, st.integers(1, 40), st.booleans(), st.integers(1, 9))
def test_a_long_passage_says_what_a_short_one_says(drawn, texts, block, cut_out, rare):
    ids = np.array([token for text in texts for token in text], np.int16)
    offsets = np.cumsum([0, *map(len, texts)])
    firsts = np.arange(len(texts)) * 3 if cut_out else None
    short = Passage(ids.astype(np.int32), offsets, WORDS, firsts)
    long = LongPassage(ids, offsets, WORDS, firsts, block)
    rule = rule_of(drawn)
    own, other = (execute_sparsely(rule, each, rare) for each in (short, long))
    assert own.positions.tolist() == other.positions.tolist()
    assert own.values.tolist() == other.values.tolist()
    for name in ("line_firsts", "line_heads", "word_starts", "first_said", "sequence_positions"):
        assert getattr(short, name).tolist() == getattr(long, name).tolist()
    spelled = [
        [
            read.lexicon.strings[i]
            for i in (read.ids if read.known is None else read.known[read.ids])
        ]
        for read in (short.words, long.words)
    ]
    assert spelled[0] == spelled[1]


@given(st.lists(st.integers(0, 70_000), max_size=50), st.integers(1, 60))
def test_an_index_is_the_same_however_much_is_worked_on_at_a_time(ids, block):
    whole, parts = (Occurrences.of(np.array(ids, np.int64), 70_001, each) for each in (60, block))
    assert whole.order.tolist() == parts.order.tolist()
    assert whole.offsets.tolist() == parts.offsets.tolist()


def test_what_rests_is_let_go_of_and_is_still_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    resting = resting_array(MUCH // 8, np.int64)
    before = file_bytes_in_memory()
    resting[:] = np.arange(len(resting))
    assert list(tmp_path.iterdir()) == []  # the file has no name
    if not before:
        return  # the system does not say what is in memory
    assert file_bytes_in_memory() > before + MUCH // 2
    let_go()
    assert file_bytes_in_memory() < before + MUCH // 8
    assert resting[:: mmap.PAGESIZE].tolist() == [*range(0, len(resting), mmap.PAGESIZE)]
    let_go()
    every = np.arange(0, len(resting), 100)
    assert look_up(resting, every).tolist() == every.tolist()
    assert file_bytes_in_memory() < before + resting_arrays.ROOM + 10 * resting_arrays.REACH


def test_a_disk_without_room_is_told_before_anything_is_written(monkeypatch, tmp_path):

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(Unwritable, match=r"no room for .* bytes .*; set TMPDIR to a folder"):
        resting_array(2**50, np.int64)


def test_where_nothing_may_be_written_it_is_not_the_text_that_is_damaged(monkeypatch, tmp_path):
    tokens = pa.table({"token": np.zeros(resting_arrays.SMALL, np.int32)})
    pq.write_table(tokens, tmp_path / "tokens.parquet", write_page_checksum=True)

    def nowhere() -> Path:
        raise FileNotFoundError("no usable temporary directory")

    assert len(resting_tokens(tmp_path / "tokens.parquet")) == len(tokens)
    monkeypatch.setattr(resting_arrays, "scratch_folder", nowhere)
    with pytest.raises(Unwritable, match="set TMPDIR to a folder that has it"):
        resting_tokens(tmp_path / "tokens.parquet")


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_room_of_a_file_is_taken_at_once(monkeypatch, tmp_path, system):
    monkeypatch.setattr("sys.platform", system)
    size = 3 * resting_arrays.SMALL + 7
    with (tmp_path / "file").open("wb") as file:
        resting_arrays.take_room(file.fileno(), size)
        found = os.fstat(file.fileno())
    assert found.st_size == size
    assert found.st_blocks * 512 >= size


def test_a_forked_process_gives_back_what_it_looked_at_itself():
    resting = resting_array(MUCH // 4, np.int64)
    resting[:] = 1
    if not file_bytes_in_memory():
        return  # the system does not say what is in memory
    resting_arrays.RESTING.begin_anew()
    child = os.fork()
    if not child:
        begun = file_bytes_in_memory()
        resting.sum()
        let_go()
        os._exit(file_bytes_in_memory() > begun + MUCH // 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_numbers_are_held_in_as_few_bytes_as_they_need():
    assert [smallest_type(most) for most in (0, 32_767, 32_768, 2**31 - 1, 2**31)] == [
        np.int16,
        np.int16,
        np.int32,
        np.int32,
        np.int64,
    ]
