"""Which reference image belongs to which measured image."""

from __future__ import annotations

from pathlib import PurePosixPath

from sgkit.errors import InputError
from sgkit.measure.inputs import FileImages, ImageSet


def paired(images: ImageSet, data: ImageSet) -> ImageSet:
    """Of ``data`` the reference image of each of ``images``, in their order.

    Files belong together whose names are the same up to the extension (in folders: the paths in them). Where the names
    differ, and for stores and models, the first belongs to the first, the second to the second and so on.

    Raises:
        InputError: neither names nor numbers of images fit.
    """
    if isinstance(images, FileImages) and isinstance(data, FileImages):
        places: dict[str, int] = {}
        for place, name in enumerate(map(_stem, data.names)):
            places.setdefault(name, place)
        wanted = [_stem(name) for name in images.names]
        if all(name in places for name in wanted):
            return data.picked([places[name] for name in wanted])
    if images.num != data.num:
        raise InputError(
            f"{images.info().path} has {images.num:,} images, and {data.info().path} {data.num:,}. Pairs need a "
            "reference image of the same name for each image, or the same number of images in the same order."
        )
    return data


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
