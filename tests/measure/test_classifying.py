from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from sgkit import checkpoint
from sgkit.cli.app import main
from sgkit.errors import InputError, SgkitError, UsageError
from sgkit.measure.classifying import read_attributes, split_classes, train_classifier
from sgkit.metrics import heads
from sgkit.metrics.image_classifier import METADATA_KEY, load_classifier, read_classifier_header
from sgkit.model import Model
from sgkit.runtime.progress import Progress
from sgkit.store.dataset import StoreDataset
from sgkit.tasks.prepare import PrepareOptions, prepare

pytestmark = pytest.mark.usefixtures("cheap_features")


def images(folder: Path, num: int = 60) -> Path:
    """Bright and dark images (3 and 10), reddish and bluish ones (m, f), in folders such as ``10.f``."""
    draw = np.random.default_rng(0)
    for index in range(num):
        age, sex = (3, 10)[index % 2], "mf"[index // 2 % 2]
        pixels = draw.integers(0, 60, (16, 16, 3)) + 100 * (index % 2)
        pixels[..., 0 if sex == "m" else 2] += 90
        path = folder / f"{age}.{sex}" / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(images(tmp_path / "photos"), tmp_path / "store", options=PrepareOptions(size=(16, 16), labels="folders"))
    return tmp_path / "store"


def plain(store: Path, **options: Any) -> StoreDataset:
    prepare(store.parent / "photos", store.parent / "more", options=PrepareOptions(size=(16, 16), **options))
    return StoreDataset(store.parent / "more")


def test_class_names_of_several_parts_are_several_attributes(store: Path, tmp_path: Path) -> None:
    classifier, result = train_classifier(store, tmp_path / "c.safetensors", attributes=("age", "sex"))
    assert [(head.name, head.classes) for head in result.heads] == [("age", ("3", "10")), ("sex", ("f", "m"))]
    assert all(head.accuracy == 1 > 0.8 > head.chance for head in result.heads)
    assert {(head.num_images, head.num_held_out) for head in result.heads} == {(48, 12)}
    pixels = torch.stack([StoreDataset(store)[index][0] for index in range(60)])
    names = StoreDataset(store).header.labels.names
    labels = np.stack([StoreDataset(store)[index][1].numpy() for index in range(60)]).argmax(axis=1)
    read = load_classifier(tmp_path / "c.safetensors")
    for one in (classifier, read):
        told = one(pixels)
        ages = [("3", "10")[best] for best in told["age"].argmax(axis=1)]
        assert ages == [names[label].split(".")[0] for label in labels]
        assert told["sex"].sum(axis=1) == pytest.approx(1)
    assert read_classifier_header(tmp_path / "c.safetensors").heads == result.heads


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["4.0", "4.1", "5.0", "5.1"], [["4", "4", "5", "5"], ["0", "1", "0", "1"]]),
        (["a_b", "a_c"], [["a_b", "a_c"]]),  # the second part is all of the name
        (["cat", "dog"], [["cat", "dog"]]),
        (["a.b", "a"], [["a.b", "a"]]),
        (["a.x_1", "a.y_1", "b.x_1", "b.y_1"], [["a", "a", "b", "b"], ["x_1", "y_1", "x_1", "y_1"]]),
    ],
)
def test_names_are_split_where_parts_repeat(names: list[str], parts: list[list[str]]) -> None:
    assert split_classes(names) == parts


def test_a_table_and_columns_choose_attributes(store: Path, tmp_path: Path) -> None:
    rows = "".join(f"{index:02}.png,{index % 2},{index % 3 > 0:d}\n" for index in range(50))
    (tmp_path / "labels.csv").write_text("file,bright,other\n" + rows)
    found = read_attributes(StoreDataset(store), tmp_path / "labels.csv", ())
    assert [(one.name, one.classes, int((one.answers < 0).sum())) for one in found] == [
        ("bright", ("no", "yes"), 10),
        ("other", ("no", "yes"), 10),
    ]
    _, result = train_classifier(store, None, labels=tmp_path / "labels.csv", attributes=("bright",))
    assert [(head.name, head.num_images + head.num_held_out) for head in result.heads] == [("bright", 50)]
    assert result.heads[0].accuracy == 1


@pytest.mark.parametrize(
    ("header", "row", "wanted", "expected"),
    [
        ("file,smile", "{i:02}.png,{b}", (), {"smile": ("0", "1")}),
        ("file,smile", "{i:02}.png,{b}", ("happy",), {"happy": ("0", "1")}),
        ("file,hair,mood", "{i:02}.png,{h},{m}", (), {"hair": ("black", "red"), "mood": ("calm", "cross", "glad")}),
        ("file,hair,mood", "{i:02}.png,{h},{m}", ("mood",), {"mood": ("calm", "cross", "glad")}),
        ("file,hair,size", "{i:02}.png,{h},{i}.5", ("hair",), {"hair": ("black", "red")}),
        ("file,hair,size", "{i:02}.png,{h},{i}.5", ("size",), "labels that are numbers"),
        ("file,hair,size", "{i:02}.png,{h},{i}.5", ("hairs",), "has no column 'hairs'. Did you mean 'hair'"),
    ],
)
def test_each_column_of_a_table_is_an_attribute(
    store: Path, tmp_path: Path, header: str, row: str, wanted: tuple[str, ...], expected: Any
) -> None:
    words = [row.format(i=i, b=i % 2, h=("red", "black")[i % 2], m=("glad", "calm", "cross")[i % 3]) for i in range(50)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *words]))
    if isinstance(expected, str):
        with pytest.raises(SgkitError, match=expected):
            read_attributes(StoreDataset(store), tmp_path / "labels.csv", wanted)
        return
    found = read_attributes(StoreDataset(store), tmp_path / "labels.csv", wanted)
    assert {one.name: tuple(sorted(one.classes)) for one in found} == expected


def test_features_that_cannot_be_kept_are_computed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "file"))
    assert train_classifier(store, None, batch=20)[1].num_images == 60


def test_number_of_images_and_seed_change_what_is_learnt(store: Path) -> None:
    weights = [
        train_classifier(store, None, **options)[0].heads[0].weight  # type: ignore[arg-type]
        for options in ({}, {"num_images": 40}, {"seed": 1}, {"batch": 7})
    ]
    assert not np.allclose(weights[0], weights[1])
    assert not np.allclose(weights[0], weights[2])
    np.testing.assert_allclose(weights[0], weights[3], atol=1e-6)


def test_an_interrupted_call_continues(store: Path, monkeypatch: pytest.MonkeyPatch, cheap_features: Any) -> None:
    monkeypatch.setattr("sgkit.measure.classifying.PART", 25)

    def stop(progress: Progress) -> None:
        if progress.stage == "features" and progress.done > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(store, None, batch=5, on_progress=stop)
    cheap_features.seen = 0
    again = train_classifier(store, None, batch=5)[0]
    assert cheap_features.seen == 10
    whole = train_classifier(store, None, batch=5, cache=False)[0]
    assert cheap_features.seen == 70
    np.testing.assert_array_equal(again.heads[0].weight, whole.heads[0].weight)


@pytest.mark.parametrize(
    ("options", "wanted", "text"),
    [
        ({"labels": "none"}, (), "has no labels"),
        ({"labels": "folders"}, ("age",), "'10.f' have 2 parts. Give 2 different names"),
        ({"labels": "folders"}, ("age", "age"), "2 different names"),
    ],
)
def test_labels_that_do_not_fit_are_explained(store: Path, options: Any, wanted: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_attributes(plain(store, **options), None, wanted)


def test_numbers_and_unknown_names_are_refused(store: Path, tmp_path: Path) -> None:
    for content, text in (
        ("file,age\n00.png,3.5\n01.png,4.5\n", "labels that are numbers"),
        ("file,bright,other\ngone.png,1,0\nlost.png,0,1\n", "but no image of the store"),
    ):
        (tmp_path / "labels.csv").write_text(content)
        with pytest.raises(UsageError, match=text):
            read_attributes(StoreDataset(store), tmp_path / "labels.csv", ())
    (tmp_path / "labels.csv").write_text("file,bright,other\n00.png,1,0\n01.png,0,1\n")
    with pytest.raises(UsageError, match=r"has no attribute 'brigth'. Allowed: bright, other"):
        read_attributes(StoreDataset(store), tmp_path / "labels.csv", ("brigth",))
    with pytest.raises(UsageError, match=r"Unknown feature network 'vgg'. Allowed: effnet"):
        train_classifier(store, None, network="vgg")


@pytest.mark.parametrize("answers", [[0] * 30, [0, 1, 0, 1, 0]])
def test_heads_need_examples_of_two_classes(answers: list[int]) -> None:
    features = np.zeros((len(answers), 3), np.float32)
    with pytest.raises(UsageError, match="a classifier needs 6 or more"):
        heads.fit_head(features, np.array(answers), name="smile", classes=("no", "yes"))


def test_heads_do_not_depend_on_scale_and_give_probabilities() -> None:
    draw = np.random.default_rng(0)
    answers = draw.integers(0, 3, 200)
    features = (draw.normal(size=(200, 4)) + np.eye(4)[answers] * 4).astype(np.float32)
    found = heads.fit_head(features * 1000 + 7, answers, name="kind", classes=("a", "b", "c"))
    assert found.info.accuracy > 0.9 > 0.6 > found.info.chance


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda header, tensors: header.update(format_version=9), "format version 9"),
        (lambda header, tensors: header.update(extra=1), "unknown or missing keys"),
        (lambda header, tensors: header.update(network="nets"), "unknown network 'nets'"),
        (lambda header, tensors: header.update(heads=[]), "0 heads"),
        (lambda header, tensors: header["heads"][0].update(accuracy=2), "out of range"),
        (lambda header, tensors: header["heads"][0].update(classes=["a"]), "2 to 1000 are allowed"),
        (lambda header, tensors: header["heads"][0].update(name=3), "must be short texts"),
        (lambda header, tensors: header["heads"][0].pop("chance"), "unknown or missing keys"),
        (lambda header, tensors: header["heads"][1].update(name="part1"), "an attribute twice"),
        (lambda header, tensors: tensors.pop("bias.1"), "'bias.1' does not fit"),
        (lambda header, tensors: tensors.update({"weight.0": np.zeros((2, 9), np.float32)}), "'weight.0' does not fit"),
        (lambda header, tensors: tensors.update({"bias.0": np.full(2, np.nan, np.float32)}), "not finite"),
        (lambda header, tensors: header.update(network_id="other"), "a different version of the network"),
    ],
)
def test_hostile_and_foreign_files_are_explained(store: Path, tmp_path: Path, change: Any, text: str) -> None:
    path = tmp_path / "c.safetensors"
    train_classifier(store, path)
    header = json.loads(json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
                        ["__metadata__"][METADATA_KEY])  # fmt: skip
    tensors = load_file(path)
    change(header, tensors)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(header)})
    with pytest.raises(InputError, match=text) as caught:
        load_classifier(path)
    assert "sgkit classifier train STORE --out FILE" in str(caught.value)


# ------------------------------------------------------------------------------------------ command line


def test_train_a_classifier_then_measure(
    store: Path, tmp_path: Path, tiny_model: Callable[..., Model], capsys: pytest.CaptureFixture[str]
) -> None:
    path, model = str(tmp_path / "c.safetensors"), str(tmp_path / "model.safetensors")
    assert main(["classifier", "train", str(store), "--attributes", "age,sex", "--out", path, "--json"]) == 0
    assert [head["name"] for head in json.loads(capsys.readouterr().out)["heads"]] == ["age", "sex"]
    assert main(["info", path]) == 0
    assert "accuracy 1.000 on 12 images" in capsys.readouterr().out
    checkpoint.save(tiny_model(), model)
    line = ["metrics", model, "--metrics", "ls", "--num-images", "24", "--json"]
    assert main([*line, "--classifier", path]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert [one["name"] for one in found] == ["ls_z", "ls_w"]
    assert all(one["value"] >= 1 and set(one["details"]) == {"age", "sex"} for one in found)
    assert all(sum(one["details"]["age"]["counts"]) == 12 for one in found)
    assert found[0]["notes"][:2] == [
        "24 of 200,000 images",
        "too few samples: a plane in 12 dimensions separates nearly any 12",
    ]
    for words, code, text in (
        (line, 2, "ls needs a classifier of images"),
        ([*line, "--classifier", model], 1, "Not a classifier"),
        (["metrics", str(store), "--metrics", "ls", "--classifier", path], 1, "ls measures a generator"),
        (["metrics", model, "--metrics", "ms_ssim", "--classifier", path], 2, "only the metric ls uses one"),
        (["classifier", "train", str(store), "--out", "c.pt"], 2, "Unsupported extension '.pt'"),
        (
            ["train", str(store), "--out", str(tmp_path / "run"), "--preset", "stylegan2-mini", "--metrics", "ls"],
            2,
            "ls",
        ),
    ):
        assert main(words) == code, words
        assert text in " ".join(capsys.readouterr().err.split())
