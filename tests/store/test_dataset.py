from __future__ import annotations

import multiprocessing
import pickle
import threading
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sgkit.errors import InputError, StoreError, UsageError
from sgkit.store import StoreDataset, at_size, batches, iterate, open_images

COUNT = 13

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of more workers than cores


def taken(dataset: StoreDataset, count: int, **options: object) -> torch.Tensor:
    options = {"batch": 4, "seed": 5, **options}
    return torch.cat([b.images for b in islice(batches(dataset, **options), count)])  # type: ignore[arg-type]


def test_items_are_images_and_labels(store_path: Path, picture_folder: Path) -> None:
    dataset = StoreDataset(store_path)
    assert (len(dataset), dataset.image_size, dataset.image_channels, dataset.label_dim) == (COUNT, (8, 8), 3, 2)
    image, label = dataset[7]
    expected = np.asarray(Image.open(sorted(picture_folder.rglob("*.png"))[7]))
    np.testing.assert_array_equal(image.numpy(), expected.transpose(2, 0, 1))
    assert (image.dtype, label.dtype, label.tolist()) == (torch.uint8, torch.float32, [0, 1])


def test_every_level_of_a_pyramid_can_be_read(store_path: Path) -> None:
    assert StoreDataset(store_path, size=(4, 4))[0][0].shape == (3, 4, 4)
    with pytest.raises(UsageError, match=r"no images of 16x16 \(WxH\), only 8x8, 4x4"):
        StoreDataset(store_path, size=(16, 16))


def test_raw_images_are_views_of_the_file_and_items_are_not(raw_store_path: Path) -> None:
    dataset = StoreDataset(raw_store_path)
    view = dataset.pixels(3)
    assert not view.flags.writeable
    assert not view.flags.owndata
    item = dataset[3][0]
    np.testing.assert_array_equal(view, item.numpy())
    item.zero_()
    assert dataset.pixels(3).any()


def test_an_image_beyond_the_last_is_an_error(store_path: Path) -> None:
    with pytest.raises(IndexError, match="images 0 to 12"):
        StoreDataset(store_path)[COUNT]


def test_each_epoch_is_a_permutation_and_epochs_follow_without_a_gap(store_path: Path) -> None:
    dataset = StoreDataset(store_path)
    images = taken(dataset, COUNT)  # 52 images: four epochs
    everything = {dataset[i][0].numpy().tobytes() for i in range(COUNT)}
    epochs = [[image.numpy().tobytes() for image in images[e * COUNT : (e + 1) * COUNT]] for e in range(4)]
    assert all(set(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("mirror", [False, True])
def test_the_order_depends_on_seed_and_position_only(store_path: Path, mirror: bool) -> None:
    dataset = StoreDataset(store_path)
    straight = taken(dataset, 9, mirror=mirror)
    assert torch.equal(taken(dataset, 9, mirror=mirror), straight)
    assert not torch.equal(taken(dataset, 9, mirror=mirror, seed=6), straight)
    for start in (1, 5, 13, 21):
        assert torch.equal(taken(dataset, 3, mirror=mirror, start=start), straight[start : start + 12])
    assert torch.equal(taken(dataset, 3, mirror=mirror, batch=12), straight)
    assert torch.equal(taken(dataset, 9, mirror=mirror, num_workers=2), straight)


@pytest.mark.parametrize("borders", [[0, 7], [0, 3, 7], [0, 2, 4, 7], list(range(8))])
def test_processes_share_each_batch(store_path: Path, borders: list[int]) -> None:
    dataset = StoreDataset(store_path)
    whole = taken(dataset, 4, start=3, batch=7).view(4, 7, 3, 8, 8)
    parts = [
        taken(dataset, 4, start=3, batch=7, share=range(first, last)).view(4, last - first, 3, 8, 8)
        for first, last in pairwise(borders)
    ]
    assert torch.equal(torch.cat(parts, 1), whole)


@pytest.mark.parametrize("share", [range(0), range(2, 2), range(1, 4), range(0, 3, 2)])
def test_a_share_is_a_part_of_the_batch(store_path: Path, share: range) -> None:
    with pytest.raises(UsageError, match=rf"positions {share.start} to {share.stop} of a batch of 3; give a part"):
        batches(StoreDataset(store_path), batch=3, seed=0, share=share)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_smaller_images_are_the_same_with_and_without_a_pyramid(
    store_path: Path, raw_store_path: Path, picture_folder: Path, num_workers: int
) -> None:
    sources = [StoreDataset(store_path), StoreDataset(raw_store_path), open_images(picture_folder)]
    stored, averaged, files = (
        next(batches(source, batch=COUNT, seed=2, size=(4, 4), mirror=True, num_workers=num_workers))
        for source in sources
    )
    assert stored.images.shape == (COUNT, 3, 4, 4)
    assert torch.equal(averaged.images, stored.images)
    assert torch.equal(files.images, stored.images)
    assert torch.equal(averaged.labels, stored.labels)


def test_smaller_images_are_rounded_once(raw_store_path: Path) -> None:
    dataset = StoreDataset(raw_store_path)
    whole = next(iterate(dataset, batch=COUNT)).images.double()
    assert at_size(dataset, (8, 8)) is dataset
    for side in (4, 2, 1):
        factor = 8 // side
        exact = whole.unflatten(2, (side, factor)).unflatten(4, (side, factor)).mean((3, 5))
        found = next(iterate(at_size(dataset, (side, side)), batch=COUNT)).images
        assert torch.equal(found.double(), exact.round())


@pytest.mark.parametrize("size", [(16, 16), (4, 8), (3, 3), (0, 0), (5, 4)])
def test_sizes_that_cannot_be_averaged_are_refused(raw_store_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"from 8x8 come that size, its half, its quarter"):
        batches(StoreDataset(raw_store_path), batch=2, seed=0, size=size)


def test_raw_batches_are_read_ahead_by_a_thread_that_ends(raw_store_path: Path) -> None:
    dataset = StoreDataset(raw_store_path)
    straight = taken(dataset, 9, mirror=True)
    assert torch.equal(taken(dataset, 9, mirror=True, num_workers=2), straight)
    assert len(list(iterate(dataset, batch=5, num_workers=2))) == 3
    before = threading.active_count()
    stream = batches(dataset, batch=4, seed=5, mirror=True, num_workers=2)
    assert torch.equal(next(stream).images, straight[:4])
    assert threading.active_count() == before + 1
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_about_half_of_the_images_are_mirrored(store_path: Path) -> None:
    dataset = StoreDataset(store_path)
    plain, mirrored = taken(dataset, 50), taken(dataset, 50, mirror=True)
    flipped = [torch.equal(a.flip(2), b) for a, b in zip(plain, mirrored, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(plain, mirrored, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130


@pytest.mark.parametrize("num_workers", [0, 2])
def test_iterating_gives_everything_once_in_order(store_path: Path, num_workers: int) -> None:
    dataset = StoreDataset(store_path)
    found = list(iterate(dataset, batch=5, num_workers=num_workers))
    assert [len(batch) for batch in found] == [5, 5, 3]
    assert torch.equal(torch.cat([b.images for b in found]), torch.stack([dataset[i][0] for i in range(COUNT)]))
    assert torch.cat([b.labels for b in found]).argmax(1).tolist() == [0] * 7 + [1] * 6


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_dataset_in_use_may_be_forked_and_spawned(store_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method}")
    dataset = StoreDataset(store_path)
    first = dataset[0][0]  # the environment is open now
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=method)
    assert torch.equal(next(iter(loader))[0], first)
    assert torch.equal(dataset[0][0], first)


def test_a_dataset_in_use_may_be_pickled(store_path: Path) -> None:
    dataset = StoreDataset(store_path)
    first = dataset[0][0]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0][0], first)


def test_reading_leaves_no_lock_behind(store_path: Path) -> None:
    before = sorted(store_path.iterdir())
    assert len(StoreDataset(store_path)[0]) == 2
    assert sorted(store_path.iterdir()) == before


def test_open_images_reads_stores_and_files_alike(store_path: Path, picture_folder: Path) -> None:
    stored = next(iterate(open_images(store_path), batch=COUNT)).images
    assert torch.equal(next(iterate(open_images(picture_folder), batch=COUNT)).images, stored)
    small = open_images(picture_folder, size=(4, 6), channels=1)
    assert (small.image_size, small.image_channels, small.label_dim) == ((4, 6), 1, 0)
    assert next(iterate(small, batch=2)).images.shape == (2, 1, 4, 6)
    with pytest.raises(UsageError, match="3 channels; 1 were asked for"):
        open_images(store_path, channels=1)


def test_files_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    for name, side in (("a", 4), ("b", 6)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"b\.png .* is 6x6, the first image is 4x4"):
        list(iterate(open_images(tmp_path), batch=2))
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(InputError, match=r"a\.png .* cannot be used: not an image"):
        list(iterate(open_images(tmp_path, size=(4, 4)), batch=2))


def test_what_is_no_store_is_told_apart(tmp_path: Path, store_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no store at .*sgkit prepare"):
        StoreDataset(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"no header\.json"):
        StoreDataset(tmp_path)
    (tmp_path / "header.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        StoreDataset(tmp_path)
    (tmp_path / "header.json").write_text('{"format": "sgkit-store", "version": 99}')
    with pytest.raises(StoreError, match="version 99; this sgkit reads version 1"):
        StoreDataset(tmp_path)
    (tmp_path / "header.json").write_text("{}")
    with pytest.raises(StoreError, match="not the header of an sgkit store"):
        StoreDataset(tmp_path)
    (tmp_path / "header.json").write_bytes((store_path / "header.json").read_bytes())
    with pytest.raises(StoreError, match=r"part-00000\.mdb cannot be opened"):
        StoreDataset(tmp_path)[0]
