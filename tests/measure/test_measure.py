from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit import checkpoint
from sgkit.errors import ConfigError, InputError, UsageError
from sgkit.measure.inputs import FileImages, GeneratedImages, StoreImages
from sgkit.measure.opening import open_image_set
from sgkit.measure.statistics import StatisticsRunner
from sgkit.measure.task import MeasureConfig, MeasureResult, measure, measure_each
from sgkit.metrics.statistics import FeatureRequest
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import Progress
from sgkit.tasks.prepare import PrepareOptions, prepare

pytestmark = pytest.mark.usefixtures("cheap_features")


def write_images(folder: Path, num: int, *, seed: int = 0, bright: int = 0, size: int = 16) -> Path:
    draw = np.random.default_rng(seed)
    for index in range(num):
        path = folder / ("a" if index % 2 else "b") / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(bright, 128 + bright, (size, size, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", 24)


@pytest.fixture
def store(tmp_path: Path, data: Path) -> Path:
    prepare(data, tmp_path / "store", options=PrepareOptions(size=(16, 16), filter="box", labels="folders"))
    return tmp_path / "store"


@pytest.fixture
def model_file(tmp_path: Path, tiny_model: Callable[..., Model]) -> Callable[..., Path]:
    """Save a tiny model; where it is."""

    def save(label_dim: int = 0) -> Path:
        checkpoint.save(tiny_model(label_dim=label_dim), tmp_path / "model.safetensors")
        return tmp_path / "model.safetensors"

    return save


def run(images: Path, data: Path, **options: Any) -> MeasureResult:
    return measure(MeasureConfig(images=str(images), data=str(data), device="cpu", **options))


def test_same_images_are_no_distance_apart(data: Path) -> None:
    result = run(data, data)
    assert [value.name for value in result.metrics] == ["fd_effnet", "kd_effnet"]
    assert result.metrics[0].value == pytest.approx(0, abs=1e-9)
    assert (result.metrics[0].num_images, result.metrics[0].num_data) == (24, 24)
    assert result.extractors == {"effnet": "colours"}
    assert result.warnings == ()


def test_distance_grows_with_the_difference(data: Path, tmp_path: Path) -> None:
    found = [
        run(write_images(tmp_path / f"{b}", 20, seed=1, bright=b), data, metrics=("fd_effnet",)) for b in (0, 40, 90)
    ]
    values = [result.metrics[0].value for result in found]
    assert values == sorted(values)
    assert values[2] > 50 * values[0]


def test_store_and_its_files_agree(data: Path, store: Path) -> None:
    result = run(store, data, metrics=("fd_effnet",))
    assert result.metrics[0].value == pytest.approx(0, abs=1e-9)
    assert (result.images.kind, result.data.kind) == ("store", "files")
    assert result.images.resize_filter == "box"
    assert result.images.content_hash is not None


def test_images_of_a_model_depend_on_seeds_and_not_on_batches(data: Path, model_file: Callable[..., Path]) -> None:
    model = model_file()
    values = [run(model, data, num_images=10, batch=batch).metrics for batch in (10, 10, 3)]
    assert values[0] == values[1]
    for one, other in zip(values[0], values[2], strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-3)
    result = run(model, data, num_images=10, truncation_psi=0.5)
    assert (result.images.kind, result.images.truncation_psi, result.images.image_size) == ("model", 0.5, (16, 16))
    assert result.metrics[0].value != values[0][0].value


def test_statistics_of_data_are_kept(data: Path, store: Path, tmp_path: Path, cheap_features: Any) -> None:
    first = run(store, data)
    assert not first.data_from_cache
    cheap_features.seen = 0
    second = run(store, data)
    assert (second.data_from_cache, second.images_from_cache) == (True, True)
    assert cheap_features.seen == 0
    assert run(data, data, num_images=9).images_from_cache is False
    assert cheap_features.seen == 9  # the measured side alone
    assert [value.value for value in second.metrics] == pytest.approx([value.value for value in first.metrics])
    data.rename(tmp_path / "moved")  # content counts, not where it is
    assert run(store, tmp_path / "moved").data_from_cache
    Image.new("RGB", (16, 16)).save(tmp_path / "moved" / "a" / "001.png")
    assert not run(store, tmp_path / "moved").data_from_cache
    assert not run(store, tmp_path / "moved", num_data=20).data_from_cache


def test_no_cache(data: Path) -> None:
    run(data, data, cache=False)
    assert list(Path(os.environ["SGKIT_CACHE"]).iterdir()) == []


def test_warnings(data: Path, tmp_path: Path) -> None:
    few = write_images(tmp_path / "few", 6, size=32)
    result = run(few, data)
    assert len(result.warnings) == 2
    assert "fd_effnet: 6 images of" in result.warnings[0]
    assert "covariance of 6 features (at least 7)" in result.warnings[0]
    assert "kd_effnet, which has no such bias" in result.warnings[0]
    assert "The images are 32x32, the data 16x16" in result.warnings[1]
    assert run(write_images(tmp_path / "enough", 7), data).warnings == ()


def test_unlike_filters_warn(data: Path, store: Path, tmp_path: Path) -> None:
    prepare(data, tmp_path / "other", options=PrepareOptions(size=(16, 16), filter="bilinear"))
    assert run(store, tmp_path / "other").warnings == (
        "The stores were resized by different filters, box and bilinear, which affects the values.",
    )


def test_a_model_without_classes_has_none_to_compare(store: Path, model_file: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="is an unconditional model, so its images have no classes"):
        run(model_file(), store, num_images=8, by_class=True)
    with pytest.raises(UsageError, match=r"This model is conditional \(3 classes; .*store has 2\)"):
        run(model_file(label_dim=3), store, num_images=8)


def test_the_same_images_on_both_sides_warn(store: Path, model_file: Callable[..., Path]) -> None:
    for path, kind in ((store, "store"), (model_file(), "model")):
        found = run(path, path, num_images=8, num_data=8)
        assert any(f"Both sides are images of the same {kind}" in text for text in found.warnings)


def test_progress(data: Path) -> None:
    seen: list[Progress] = []
    measure(
        MeasureConfig(images=str(data), data=str(data), device="cpu", batch=16, cache=False), on_progress=seen.append
    )
    assert [(p.stage, p.done, p.total) for p in seen] == [
        ("data", 16, 24),
        ("data", 24, 24),
        ("images", 16, 24),
        ("images", 24, 24),
        ("comparing", 0, 2),
        ("comparing", 1, 2),
        ("comparing", 2, 2),
    ]


def test_processes_share_the_images(data: Path, cheap_features: Any) -> None:
    want = FeatureRequest(extractor=cheap_features(), statistics=frozenset(("gaussian", "bank")))

    class Recorder(DistributedContext):
        def gather_objects(self, value: Any) -> list[Any]:
            parts[self.rank] = value
            return [value]

    parts: dict[int, Any] = {}
    images = FileImages(str(data), num=23)
    for rank in range(3):
        context = Recorder(rank=rank, world_size=3)
        StatisticsRunner(extractors={}, context=context, batch=4).of(images, [want], stage="")
    assert [parts[rank][0].num for rank in range(3)] == [6, 8, 9]

    class Gathered(DistributedContext):
        def gather_objects(self, value: Any) -> list[Any]:
            return [value, parts[1], parts[2]]

    together = StatisticsRunner(extractors={}, context=Gathered(world_size=3), batch=4)
    alone = dataclasses.replace(together, context=DistributedContext())
    shared, whole = (run.of(images, [want], stage="")[0] for run in (together, alone))
    assert shared.num == whole.num == 23
    np.testing.assert_array_equal(shared.bank(), whole.bank())
    np.testing.assert_allclose(shared.gaussian().covariance, whole.gaussian().covariance, rtol=1e-9, atol=1e-15)


# -------------------------------------------------------------------------------------------- image sets


def test_fixed_choice_is_spread_over_the_whole(data: Path) -> None:
    whole, some, again = (FileImages(str(data), num=num) for num in (None, 8, 8))
    assert some.chosen == again.chosen == sorted(set(some.chosen))
    assert len(some.chosen) == 8
    assert max(some.chosen) >= 12  # both folders
    every = torch.cat(list(whole.batches(range(24), 5)))
    assert torch.equal(torch.cat(list(some.batches(range(8), 3))), every[some.chosen])
    with pytest.raises(InputError, match="has only 24 images; 25 were requested"):
        FileImages(str(data), num=25)


def test_parts_of_an_image_set(store: Path, tiny_model: Callable[..., Model]) -> None:
    for one in (StoreImages(str(store), num=10), GeneratedImages(tiny_model(), num=10)):
        whole = torch.cat(list(one.batches(range(10), 10)))
        part = list(one.batches(range(3, 9), 4))
        assert [len(images) for images in part] == [4, 2]
        assert (torch.cat(part).int() - whole[3:9].int()).abs().max() <= 1
        assert whole.dtype == torch.uint8


def test_files_of_unlike_size(tmp_path: Path) -> None:
    for index, size in enumerate((8, 8, 12, 8)):
        Image.new("RGB", (size, 8)).save(tmp_path / f"{index}.png")
    files = FileImages(str(tmp_path))
    assert [tuple(images.shape) for images in files.batches(range(4), 10)] == [
        (2, 3, 8, 8),
        (1, 3, 8, 12),
        (1, 3, 8, 8),
    ]
    info = files.info()
    assert (info.image_size, info.num_sizes, info.smallest, info.largest) == ((8, 8), 2, (8, 8), (8, 12))
    assert info.image_sizes == {"8x8": 3, "12x8": 1}
    assert FileImages(str(tmp_path)).info() == info  # from the headers, without decoding


def test_sizes_and_bits_of_files_are_told(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for index, size in enumerate((8, 8, 12, 8)):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (size, 16)).save(folder / f"{index}.jpg", exif=exif)
    Image.fromarray(np.full((8, 16), 4000, np.uint16)).save(folder / "z.png")
    warnings = " ".join(run(folder, data).warnings)
    assert "images of 2 sizes, 16x8 to 16x12, most often 16x8 (WxH)" in warnings
    assert "use 12 bits" in warnings
    assert "sharper" not in warnings


def test_bad_file_is_named(data: Path) -> None:
    (data / "a" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad.png in .* cannot be used.*'sgkit prepare' skips bad files"):
        run(data, data)


def test_labels_of_conditional_models(data: Path, store: Path, model_file: Callable[..., Path]) -> None:
    path = model_file(label_dim=2)
    first, second = (run(path, store, num_images=8, seed=seed).metrics[0].value for seed in (0, 1))
    assert first != second
    assert run(path, store, num_images=8).metrics[0].value == first
    one = run(path, store, num_images=8, label=1).metrics[0].value
    assert one == run(path, data, num_images=8, label=(0, 1)).metrics[0].value != first
    with pytest.raises(UsageError, match=r"This model is conditional \(2 classes\).*--class"):
        run(path, data, num_images=8)
    with pytest.raises(UsageError, match=r"A label of length 3 was given\. Allowed: a class"):
        run(path, data, num_images=8, label=(0, 0, 1))


@pytest.mark.parametrize(
    ("label", "classes"), [("random", None), ("all", [0, 1] * 4), ("1,0", [1, 0] * 4), ("a", [0] * 8), (1, [1] * 8)]
)
def test_classes_without_a_store(
    tmp_path: Path, tiny_model: Callable[..., Model], label: Any, classes: list[int] | None
) -> None:
    model, path = tiny_model(label_dim=2), tmp_path / "model.safetensors"
    model.info = dataclasses.replace(model.info, provenance={"class_names": ["a", "b"]})
    checkpoint.save(model, path)
    made = open_image_set(str(path), num=8, num_generated=2, device=torch.device("cpu"), label=label)
    assert isinstance(made, GeneratedImages)
    labels = made.source(4).labels(8)
    assert labels is not None
    found = labels.argmax(dim=1).tolist()
    assert found == classes if classes is not None else len(set(found)) == 2
    assert made.subset(4).info().labels == str(label)
    first = made.source(4).labels(3)
    assert first is not None
    assert torch.equal(first, labels[:3])


def test_a_model_that_cannot_be_moved_is_refused_before_images_are_made(
    data: Path, model_file: Callable[..., Path], cheap_features: Any
) -> None:
    with pytest.raises(UsageError, match="which only StyleGAN3 models have"):
        run(model_file(), data, num_images=8, metrics=("fd_effnet", "eqt50k_int"))
    assert cheap_features.seen == 24  # the data


def test_label_for_a_model_without_labels(data: Path, model_file: Callable[..., Path]) -> None:
    for label, message in ((1, "unconditional"), ((0, 1), "unconditional: remove --class")):
        with pytest.raises(UsageError, match=message):
            run(model_file(), data, num_images=8, label=label)


def test_run_folder_is_a_model(tmp_path: Path, model_file: Callable[..., Path]) -> None:
    (tmp_path / "run" / "snapshots").mkdir(parents=True)
    model_file().rename(tmp_path / "run" / "snapshots" / "kimg-000001.safetensors")
    opened = open_image_set(str(tmp_path / "run"), num=None, num_generated=5, device=torch.device("cpu"))
    assert isinstance(opened, GeneratedImages)
    assert opened.num == 5
    assert opened.content()["model"] == opened.model.content_hash()


def test_a_model_s_own_discriminator(data: Path, model_file: Callable[..., Path], store: Path) -> None:
    path = model_file()
    result = run(path, data, metrics=("fd_d", "kd_d"), num_images=8)
    assert [value.name for value in result.metrics] == ["fd_d", "kd_d"]
    assert result.extractors["d"].startswith("discriminator/")
    again = run(path, data, metrics=("fd_d", "kd_d"), num_images=8)
    assert again.data_from_cache
    assert again.metrics == result.metrics
    assert f"features of the discriminator of {path} (" in "; ".join(result.metrics[0].notes)
    with pytest.raises(InputError, match=r"fd_d compares by the discriminator .* holds images. Name a model with"):
        run(store, data, metrics=("fd_d",))
    with pytest.raises(UsageError, match=r"--discriminator has no effect here"):
        run(path, data, discriminator=str(path))


def test_several_models_are_compared_by_one_discriminator(
    data: Path, tmp_path: Path, tiny_model: Callable[..., Model]
) -> None:
    paths = [str(tmp_path / f"{channels}.safetensors") for channels in (3, 1)]
    for path, channels in zip(paths, (3, 1), strict=True):
        checkpoint.save(tiny_model(channels=channels), path)
    config = MeasureConfig(images=paths[0], data=str(data), metrics=("fd_d",), num_images=6, device="cpu")
    with pytest.raises(UsageError, match=r"fd_d compares by one discriminator, but 2 sets .* --discriminator .*3\.s"):
        measure_each(config, paths)
    config = dataclasses.replace(config, discriminator=paths[1])
    both = measure_each(config, paths)
    alone = [measure(dataclasses.replace(config, images=path)) for path in paths]
    assert [one.metrics for one in both] == [one.metrics for one in alone]
    assert {one.extractors["d"] for one in both} == {alone[1].extractors["d"]}
    assert all(f"discriminator of {paths[1]}" in "; ".join(one.metrics[0].notes) for one in both)


def test_nothing_there(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file or folder .*nowhere"):
        run(tmp_path / "nowhere", data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 1}, "num_images is 1; it must be 2 or more"),
        ({"num_data": 0}, "num_data is 0"),
        ({"batch": 0}, "batch is 0; it must be between 1 and 65,536"),
    ],
)
def test_config_checks_itself(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MeasureConfig(images="a", data="b", **options)


def test_unknown_metric_fails_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="Unknown metric 'fdi'"):
        run(Path("nowhere"), Path("nowhere"), metrics=("fdi",))


def test_each_class_by_itself(data: Path, store: Path, model_file: Callable[..., Path]) -> None:
    config = MeasureConfig(images=str(store), data=str(store), device="cpu", by_class=True, metrics=("fd_effnet",))
    found = measure_each(config, [str(store), str(model_file(label_dim=2))])
    assert [(one.class_name, one.images.kind) for one in found] == [
        ("a", "store"),
        ("a", "model"),
        ("b", "store"),
        ("b", "model"),
    ]
    assert [one.metrics[0].num_data for one in found] == [12] * 4
    assert [found[i].metrics[0].value for i in (0, 2)] == pytest.approx([0, 0], abs=1e-9)

    assert found[1].metrics[0].value != found[3].metrics[0].value
    for changes, message in (
        ({"data": str(data)}, "needs reference images with classes"),
        ({"label": 1}, "remove --class"),
    ):
        with pytest.raises(UsageError, match=message):
            measure_each(dataclasses.replace(config, **changes), [str(store)])
    with pytest.raises(UsageError, match="has no classes that could be compared one by one"):
        measure_each(config, [str(data)])


def test_neighbours_are_shown_beside_images(data: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.mkdir()
    for index, path in enumerate(sorted((data / "a").iterdir())[:3]):
        Image.open(path).resize((32, 32), Image.Resampling.NEAREST).save(large / f"{index}.png")
    file = tmp_path / "near.png"
    run(large, data, metrics=("fd_effnet",), neighbours=str(file))
    with Image.open(file) as picture:
        assert picture.size == (6 * 34 - 2, 3 * 34 - 2)
        pixels = np.asarray(picture).astype(int)
    for row in range(3):  # the nearest one is the image itself, made smaller
        own, found = (pixels[row * 34 : row * 34 + 32, x : x + 32].mean(axis=(0, 1)) for x in (0, 34))
        assert abs(own - found).max() < 2
    with pytest.raises(InputError, match="exists already"):
        run(large, data, metrics=("fd_effnet",), neighbours=str(file))
    for changes, message in (
        ({"neighbours": "a.jpg"}, r"must end in \.png"),
        ({"metrics": ("ms_ssim",)}, "of features"),
    ):
        with pytest.raises(UsageError, match=message):
            run(large, data, **{"metrics": ("fd_effnet",), "neighbours": "b.png", **changes})
