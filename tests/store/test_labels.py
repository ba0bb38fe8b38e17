"""Labels that others made, in the exact layout of each tool's files, written here by hand."""

import bz2
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gloss.errors import BadInput, BadSettings
from gloss.store.labels import Label, SkipReason, labels_by_feature, read_published, write_labels
from gloss.store.labels.published_files import installed_label_formats, skipped_words

EXPLANATION = {
    "id": "cm0a1b2c3",
    "modelId": "gpt2-small",
    "layer": "6-res-jb",
    "index": "650",
    "description": " words for weather ",
    "authorId": "clkht01d40000jv08hvalcvly",
    "embedding": [0.125, -0.5],
    "triggeredById": "clkht01d40000jv08hvalcvly",
    "typeName": "oai_token-act-pair",
    "explanationModelName": "gpt-4o-mini",
    "notes": None,
    "createdAt": "2024-08-01T10:00:00.000Z",
}
ACTIVATION = {
    "id": "a1",
    "tokens": ["It", " rains", "."],
    "index": "650",
    "layer": "6-res-jb",
    "modelId": "gpt2-small",
    "maxValue": 3.5,
    "maxValueTokenIndex": 1,
    "minValue": 0,
    "values": [0, 3.5, 0.25],
    "creatorId": "clkht01d40000jv08hvalcvly",
    "dataSource": None,
    "binMin": -1,
}


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def reasons(found) -> dict[str, int]:
    return dict(found.skipped_counts)


def test_neuronpedia_goes_in_and_out_unchanged(tmp_path):
    rows = [
        EXPLANATION,
        EXPLANATION | {"id": "x2", "index": "651", "description": "“ça” – naïve"},
        EXPLANATION | {"id": "x3", "description": "a second one of the same feature"},
    ]
    given, kept, back = (tmp_path / name for name in ("batch-0.jsonl.gz", "l.parquet", "o.jsonl"))
    given.write_bytes(gzip.compress(lines(*rows)))
    write_labels(read_published([given]).labels, kept)
    labels = read_published([kept]).labels
    write_labels(labels, back, "neuronpedia")
    assert [json.loads(line) for line in back.read_text().splitlines()] == rows
    assert (labels[0].index, labels[0].text) == (650, "words for weather")
    assert labels[0].made_by == "oai_token-act-pair gpt-4o-mini"
    assert labels[0].layer == "6-res-jb"


def test_neuronpedias_folder_holds_explanations_activations_and_features(tmp_path):
    source = tmp_path / "v1" / "gpt2-small" / "6-res-jb"
    for kind, row in (
        ("explanations", EXPLANATION),
        ("activations", ACTIVATION),
        (
            "features",
            {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "650", "pos_str": ["a"]},
        ),
    ):
        (source / kind).mkdir(parents=True)
        (source / kind / "batch-0.jsonl.gz").write_bytes(gzip.compress(lines(row)))
    found = read_published([tmp_path])
    assert [label.text for label in found.labels] == ["words for weather"]
    assert [(one.index, one.tokens, one.values) for one in found.contexts] == [
        (650, ("It", " rains", "."), (0.0, 3.5, 0.25))
    ]
    assert not found.skipped
    assert found.formats == (("Neuronpedia", 3),)


def test_neuronpedias_api_answers_a_feature_or_a_list(tmp_path):
    feature = {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "650", "pos_str": []}
    feature |= {
        "explanations": [EXPLANATION | {"scores": [{"value": 0.4}]}],
        "activations": [ACTIVATION],
    }
    (tmp_path / "feature.json").write_text(json.dumps(feature, indent=1))
    (tmp_path / "export.json").write_text(json.dumps([EXPLANATION | {"index": "7"}]))
    upload = {"modelId": "m", "source": "0-mine", "features": [{"index": 3, "explanations": []}]}
    upload["features"][0]["explanations"] += [{"text": "cats", "methodName": "x", "modelName": "y"}]
    (tmp_path / "upload.json").write_text(json.dumps(upload))
    found = read_published([tmp_path])
    assert {(each.index, each.layer) for each in found.labels} == {
        (650, "6-res-jb"),
        (7, "6-res-jb"),
        (3, "0-mine"),
    }
    assert found.labels[1].scores == (("score", 0.4),)
    assert len(found.contexts) == 1


def test_what_comes_from_elsewhere_is_written_for_neuronpedia_with_the_same_keys(tmp_path):
    path = tmp_path / "batch-0.jsonl.gz"
    rule = 'token in {" rain"}'
    write_labels([Label(3, "rain", rule, layer="5-mine"), Label(4, "snow")], path, "neuronpedia")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert rows[0].keys() == rows[1].keys() >= {"id", "modelId", "layer", "index", "description"}
    assert rows[0]["index"] == "3"
    assert rows[0]["id"] != rows[1]["id"]
    assert read_published([path]).labels[0].rule == rule


def delphi_folder(root: Path) -> Path:
    (root / "explanations").mkdir(parents=True)
    (root / "scores" / "fuzz").mkdir(parents=True)
    (root / "scores" / "simulation").mkdir(parents=True)
    said = {12: "Words of regret.", 13: "Explanation could not be parsed.", 14: ""}
    for index, text in said.items():
        (root / "explanations" / f"layers.5_latent{index}.txt").write_text(json.dumps(text))
    example = {"str_tokens": ["a"], "activations": [1.0], "distance": 1, "probability": None}
    judged = [(True, True), (True, False), (False, False), (False, None)]
    entries = [
        example | {"activating": truth, "prediction": said, "correct": truth == said}
        for truth, said in judged
    ]
    (root / "scores" / "fuzz" / "layers.5_latent12.txt").write_text(json.dumps(entries))
    simulated = [{"distance": 0, "scored_sequence_simulations": [], "ev_correlation_score": 0.31}]
    (root / "scores" / "simulation" / "layers.5_latent12.txt").write_text(json.dumps(simulated))
    (root / "run_config.json").write_text("{}")
    return root


def test_delphis_folder_holds_an_explanation_a_file_and_scores_beside(tmp_path):
    found = read_published([delphi_folder(tmp_path / "results")])
    assert [(one.index, one.text, one.layer) for one in found.labels] == [
        (12, "Words of regret.", "layers.5")
    ]
    assert dict(found.labels[0].scores) == {
        "fuzz balanced accuracy": pytest.approx(0.75),
        "simulation correlation": pytest.approx(0.31),
    }
    assert reasons(found) == {SkipReason.NO_TEXT: 2}


def test_delphis_surprisal_and_embedding_rank_examples(tmp_path):
    for scorer in ("surprisal", "embedding"):
        (tmp_path / "scores" / scorer).mkdir(parents=True)
    (tmp_path / "explanations").mkdir()
    name = "layers.5_latent12.txt"
    (tmp_path / "explanations" / name).write_text(json.dumps("Words of regret."))
    examples = [  # of each: its distance, losses without and with the explanation, similarity
        (0, [3.0, 2.0, 0.0], [2.0, 1.5, 0.0], 0.8),  # 1.5 nats, the last place is padding
        (2, [3.0, 3.0], [3.0, 3.0], 0.2),  # 0
        (-1.0, [2.0, 2.0], [2.0, 2.5], 0.1),  # -0.5
        (-0.4, [2.0, 2.0], [1.0, 2.0], 0.5),  # a near feature's: 1
    ]
    surprised = [
        {"text": "x", "distance": d, "no_explanation": a, "explanation": b, "activations": [d > 0]}
        for d, a, b, _ in examples
    ]
    near = [{"text": "x", "distance": d, "similarity": s} for d, _, _, s in examples]
    broken = [{"text": "x", "distance": 0, "no_explanation": [1.0], "explanation": None}]
    (tmp_path / "scores" / "surprisal" / name).write_text(json.dumps(surprised + broken))
    (tmp_path / "scores" / "embedding" / name).write_text(json.dumps(near))
    found = read_published([tmp_path])
    assert dict(found.labels[0].scores) == {"surprisal AUROC": 0.75, "embedding AUROC": 0.75}
    one_sided = json.dumps(surprised[:2])
    (tmp_path / "scores" / "surprisal" / name).write_text(one_sided)
    assert reasons(read_published([tmp_path])) == {SkipReason.UNREADABLE: 1}


def test_delphis_article_named_features_and_marked_truth_otherwise(tmp_path):
    (tmp_path / "explanations").mkdir()
    (tmp_path / "scores" / "recall").mkdir(parents=True)
    name = ".model.layers.32_feature7.txt"
    (tmp_path / "explanations" / name).write_text('"Words of regret."')
    rows = [{"ground_truth": t, "prediction": p, "text": ""} for t, p in ((1, 1), (0, 0), (1, -1))]
    (tmp_path / "scores" / "recall" / name).write_text(json.dumps(rows))
    (label,) = read_published([str(path) for path in sorted(tmp_path.rglob(f"*{name}"))]).labels
    assert (label.index, label.scores) == (7, (("recall balanced accuracy", 1.0),))


def test_delphis_cache_gives_the_strongest_contexts_of_each_feature(tmp_path):
    folder = tmp_path / "latents" / "layers.5"
    folder.mkdir(parents=True)
    tokens = np.arange(12, dtype=np.int64).reshape(3, 4)
    places = np.array([(0, 1, 0), (2, 3, 4), (1, 0, 0), (1, 2, 0)], np.uint16)
    stored = {"locations": places, "activations": np.array([1, 2, 3, 0.5], np.float16)}
    save_file(stored | {"tokens": tokens}, folder / "100_199.safetensors")
    (folder / "config.json").write_text('{"n_splits": 5}')
    (folder / "200_299.safetensors").write_bytes(b"cut off")
    found = read_published([tmp_path])
    assert [(one.index, one.tokens, one.values) for one in found.contexts] == [
        (100, (4, 5, 6, 7), (3.0, 0.0, 0.5, 0.0)),
        (100, (0, 1, 2, 3), (0.0, 1.0, 0.0, 0.0)),
        (104, (8, 9, 10, 11), (0.0, 0.0, 0.0, 2.0)),
    ]
    assert reasons(found) == {SkipReason.UNREADABLE: 1}


def test_sae_dashboards_batches_hold_contexts(tmp_path):
    shown = {
        "bin_min": -1,
        "tokens": ["▁a", "▁b"],
        "values": [0.0, 2.0],
        "qualifying_token_index": 1,
    }
    batch = {"model_id": "gpt2-small", "layer": 6, "sae_set": "res-jb", "sae_id_suffix": None}
    batch["features"] = [
        {"feature_index": 9, "pos_str": ["x"], "frac_nonzero": 0.01, "activations": [shown]},
        {"pos_str": []},
    ]
    (tmp_path / "batch-0.json").write_text(json.dumps(batch))
    found = read_published([tmp_path / "batch-0.json"])
    assert [(one.index, one.layer, one.values) for one in found.contexts] == [
        (9, "6-res-jb", (0.0, 2.0))
    ]
    assert found.formats == (("SAEDashboard", 1),)
    assert reasons(found) == {SkipReason.NO_INDEX: 1}


def test_transluces_neurons_give_the_best_explanation_of_either_sign(tmp_path):
    def entry(text: str, score: float | None) -> dict:
        simulations = {"valid": {"simulation_data": {}, "ev_correlation_score": score}}
        return {"explanation": text, "simulations": simulations if score is not None else None}

    neuron = {
        "neuron_id": {"layer_index": 4, "neuron_index": 10},
        "explanations": {
            "positive": [entry("worse", 0.2), entry("better", 0.6), entry("unscored", None)],
            "negative": [entry("the other sign", 0.3)],
        },
        "explanation_generation_metadata": None,
    }
    (tmp_path / "10.json").write_text(json.dumps(neuron))
    found = read_published([tmp_path / "10.json"])
    assert [(each.index, each.layer, each.text) for each in found.labels] == [
        (10, "4", "better"),
        (10, "4", "the other sign"),
    ]
    chosen, _ = labels_by_feature(found, by="negative activations")
    assert chosen[10].text == "the other sign"


def test_transluces_table_of_descriptions_names_neurons_by_one_word(tmp_path):
    path = tmp_path / "descriptions.csv"
    path.write_text(
        "id,neuron_id,polarity,version,description,is_interesting\n"
        'x,meta-llama/Llama-3.1-8B-Instruct_31_5_None,1,v1,"dates, in ""May""",t\n'
        "y,meta-llama/Llama-3.1-8B-Instruct_31_5_None,-1,v1,verbs,f\n"
        "z,unnamed,1,v1,lost,f\n"
    )
    found = read_published([path])
    assert [(one.index, one.layer, one.text, one.made_by) for one in found.labels] == [
        (5, "31", 'dates, in "May"', "positive activations"),
        (5, "31", "verbs", "negative activations"),
    ]
    assert reasons(found) == {SkipReason.NO_INDEX: 1}


def test_openais_and_eleuthers_files(tmp_path):
    record = {
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": 2, "neuron_index": 8},
        "scored_explanations": [
            {"explanation": text, "scored_simulation": {"ev_correlation_score": score}}
            for text, score in (("worse", 0.1), ("better", 0.2))
        ],
    }
    (tmp_path / "8.jsonl").write_bytes(lines(record))
    (label,) = read_published([tmp_path / "8.jsonl"]).labels
    assert (label.index, label.layer, label.text) == (8, "2", "better")
    (tmp_path / "model.layers.5_feature.json").write_text('{"1": "cats", "30": "dogs", "x": "?"}')
    (tmp_path / "fuzz_layer_5.json").write_text('{"1": 0.8}')
    found = read_published([tmp_path / "model.layers.5_feature.json"])
    assert {one.index: one.text for one in found.labels} == {1: "cats", 30: "dogs"}
    assert reasons(found) == {SkipReason.NO_INDEX: 1}
    assert read_published([tmp_path / "fuzz_layer_5.json"]).formats == (("EleutherAI", 1),)


TABLES = {
    "a.csv": b"feature,text\n1,one\n2,two\n",
    "b.csv": b"Index;Label;rule\n1;one;\n2;two;\n",
    "c.tsv": b"latent\texplanation\n1\tone\n2\ttwo\n",
    "d.json": b'[{"index": 1, "label": "one"}, {"index": "2", "label": "two"}]',
    "e.jsonl": lines({"neuron": 1, "description": "one"}, {"neuron": 2.0, "description": "two"}),
    "f.jsonl.bz2": bz2.compress(lines({"index": 1, "text": "one"}, {"index": 2, "text": "two"})),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_read_by_the_usual_names_of_columns(tmp_path, name):
    (tmp_path / name).write_bytes(TABLES[name])
    found = read_published([tmp_path / name])
    assert [(one.index, one.text) for one in found.labels] == [(1, "one"), (2, "two")]
    assert not found.skipped


def test_one_bad_row_never_ends_a_file(tmp_path):
    rows = [
        b"not JSON at all\n",
        lines({"index": 1, "text": "one"}),
        b"[1, 2\n",
        lines({"text": "nowhere"}, {"index": -3, "text": "below"}, {"index": 4, "text": "  "}),
        lines("a text", {"index": 1, "text": "again"}, {"index": 900, "text": "beyond"}),
    ]
    (tmp_path / "l.jsonl").write_bytes(b"".join(rows))
    found = read_published([tmp_path / "l.jsonl"])
    chosen, more = labels_by_feature(found, width=512)
    assert {index: label.text for index, label in chosen.items()} == {1: "one"}
    assert reasons(found) == {
        SkipReason.UNREADABLE: 3,
        SkipReason.NO_INDEX: 2,
        SkipReason.NO_TEXT: 1,
    }
    assert [row.reason for row in more] == [SkipReason.TWICE, SkipReason.BEYOND]
    assert skipped_words(found.skipped_counts).startswith("6 rows passed over: ")


def test_what_a_table_keeps_it_gives_back(tmp_path):
    labels = [Label(3, "a, b", 'token in {" a"}', "me", "5"), Label(4, 'say "hi"\nthere')]
    for name in ("l.parquet", "l.csv", "l.jsonl"):
        write_labels(labels, tmp_path / name)
        assert list(read_published([tmp_path / name]).labels) == labels


def test_errors_are_one_sentence_that_says_what_to_do(tmp_path):
    two = tmp_path / "two.csv"
    two.write_text("feature,text,layer\n1,one,4\n2,two,5\n")
    found = read_published([two])
    with pytest.raises(BadInput, match=r"2 layers \('4', '5'\); choose one, as in layer = '4'"):
        labels_by_feature(found)
    with pytest.raises(BadInput, match="no layer '6'"):
        labels_by_feature(found, "6")
    with pytest.raises(BadInput, match="is not there"):
        read_published([tmp_path / "nothing"])
    (tmp_path / "x.bin").write_bytes(b"\0\1")
    with pytest.raises(BadInput, match="in no format of labels that is known"):
        read_published([tmp_path / "x.bin"])
    (tmp_path / "empty.csv").write_text("feature,text\n")
    with pytest.raises(BadInput, match="there is no label"):
        labels_by_feature(read_published([tmp_path / "empty.csv"]))
    with pytest.raises(BadSettings, match="cannot be written as 'delphi'"):
        write_labels(found.labels, tmp_path / "o", "delphi")


def test_every_format_says_what_it_reads():
    assert list(installed_label_formats())[-2:] == ["parquet", "table"]
    assert all(each.title and each.files for each in installed_label_formats().values())
