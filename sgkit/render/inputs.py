"""The models and latents that scenes name, found by content."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgkit.config.shapes import ShapeText
from sgkit.errors import CheckpointWarning, SceneError
from sgkit.latents.directions import Directions, check_fits, load_directions
from sgkit.latents.files import LatentSpace, load_latents
from sgkit.latents.sources import Origin
from sgkit.latents.spaces import Latents
from sgkit.model import Model
from sgkit.render.moves import Along
from sgkit.render.pictures import Pixels
from sgkit.render.scene import LatentRef, ModelRef, Photo, Scene, Seed
from sgkit.render.shapes import MaskPicture, picture_of
from sgkit.runtime.limits import read_file
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.decoding import decode_image, open_picture

MOST_PIXELS = 1 << 27
"""Of a photo."""
LARGEST_MASK = 1024
"""Pixels along the longer side of a mask; larger ones are reduced."""
MOST_FILES = 64
"""Latent files that are kept in memory."""


class Inputs:
    """What scenes refer to: a model, or models by the scenes' keys; and latents.

    Args:
        models: one model for every key, or models by key.
        path: the file of the one model, to be recorded in scenes; of several, their files by key.
        folder: where files with relative paths are looked for, before the working directory.
        any_model: draw with models whose content differs from what a scene records.
    """

    def __init__(
        self,
        models: Model | Mapping[str, Model],
        *,
        path: str | Path | Mapping[str, str | Path | None] | None = None,
        folder: Path | None = None,
        any_model: bool = False,
    ) -> None:
        self._models = models
        self._path, self._folder, self._any_model = path, folder, any_model
        self._hashes: dict[int, str] = {}
        self._references: dict[int, ModelRef] = {}
        self._given: dict[str, Latents] = {}
        self._read: dict[str, Latents] = {}
        self._last: tuple[Latents, str] | None = None
        self._masks: dict[tuple[str | None, tuple[int, ...]], Tensor] = {}
        self._directions: dict[str, Directions] = {}
        self._warned: set[str] = set()

    @property
    def only(self) -> Model:
        """The one model."""
        assert isinstance(self._models, Model), "there are several models"
        return self._models

    @property
    def first(self) -> Model:
        """The one model, or the first of several."""
        return self._models if isinstance(self._models, Model) else next(iter(self._models.values()))

    def model_of(self, key: str) -> Model:
        """The model that is called ``key``, or the one model."""
        return self._models if isinstance(self._models, Model) else self._models[key]

    def reference(self, model: Model, key: str | None = None) -> ModelRef:
        """How a scene names ``model``; ``key``: under which it is one of several."""
        if id(model) not in self._references:
            path = self._path.get(key or "") if isinstance(self._path, Mapping) else self._path
            ref = ModelRef(hash=self.model_hash(model), path=None if path is None else str(path))
            self._references[id(model)] = ref
        return self._references[id(model)]

    def model_hash(self, model: Model) -> str:
        """The model's content hash, computed once."""
        if id(model) not in self._hashes:
            self._hashes[id(model)] = model.content_hash()
        return self._hashes[id(model)]

    def model(self, scene: Scene, key: str) -> Model:
        """The model that ``scene`` calls ``key``.

        Raises:
            SceneError: it is not there, or is a different one.
        """
        model = self._models if isinstance(self._models, Model) else self._models.get(key)
        wanted = scene.models.get(key, ModelRef())
        if model is None:
            raise SceneError(f"The scene needs a model called {key!r} ({_described(wanted)}), which was not given.")
        if wanted.hash and not self._any_model and wanted.hash != self.model_hash(model):
            raise SceneError(
                f"This is a different model: the scene was made with {_described(wanted)}, and the given one has the "
                f"hash {self.model_hash(model)[:12]}. Give that model, or allow this one with --any-model."
            )
        return model

    def source(self, origin: Origin, *, space: LatentSpace = "auto") -> Seed | LatentRef:
        """How a scene names ``origin``; its latents are kept for the drawing."""
        if origin.latents is None:
            assert origin.seed is not None
            return Seed(seed=origin.seed)
        if self._last is None or self._last[0] is not origin.latents:
            self._last = (origin.latents, latents_hash(origin.latents))
        self._warn_of(origin)
        key = self._last[1]
        if origin.file is None:
            self._given[key] = origin.latents
            return LatentRef(latent=None, index=origin.index, hash=key)
        _keep(self._read, key, origin.latents)
        return LatentRef(latent=str(origin.file), index=origin.index, hash=key, space=space)

    def _warn_of(self, origin: Origin) -> None:
        """Warn of latents that were found with a different model; once for each. Several models may share latents."""
        found, model = origin.latents.model_hash if origin.latents else None, self._models
        if found is None or found in self._warned or self._any_model or not isinstance(model, Model):
            return
        if found not in (self.model_hash(model), *model.info.tuned_from):
            self._warned.add(found)
            warnings.warn(
                f"{origin.file or origin.name} holds latents of a different model (hash {found[:12]}); this one has "
                f"the hash {self.model_hash(model)[:12]}, so its images will not resemble those of that model. Use "
                "that model, or project the image again: sgkit project MODEL IMAGE --out FOLDER",
                CheckpointWarning,
                stacklevel=2,
            )

    def latents(self, source: LatentRef, model: Model) -> Latents:
        """The one latent that ``source`` names.

        Raises:
            SceneError: its file is not there, was changed, or has fewer latents.
        """
        found = self._given.get(source.hash or "") or self._read.get(source.hash or "")
        if found is None:
            found = load_latents(self._file(source), model=model, space=source.space)
            key = latents_hash(found)
            if source.hash not in (None, key):
                raise SceneError(
                    f"The latents in {source.latent} have changed: the scene was made with {source.hash[:12]}, the "
                    f"file holds {key[:12]}. Restore the file, or remove the hash from the scene."
                )
            _keep(self._read, key, found)
        if source.index >= len(found):
            raise SceneError(f"The scene names latent {source.index} of {source.latent}, which holds {len(found)}.")
        return found[source.index]

    def mask_picture(self, parsed: ShapeText) -> MaskPicture:
        """How a scene names the mask that an image file draws; the file is read once.

        Raises:
            SceneError: it is not there, or is not a mask.
        """
        named = picture_of(parsed)
        place, data = self._image(named.picture, None)
        found = named.changed(hash=hashlib.sha256(data).hexdigest())
        self._masks[found.hash, ()] = mask_weights(data, place)
        return found

    def mask(self, source: MaskPicture) -> Tensor:
        """Weights [h, w] from 0 to 1 of the image file that ``source`` names.

        Raises:
            SceneError: it is not there, was changed, or is not a mask.
        """
        known = self._masks.get((source.hash, source.values))
        if source.hash is None or known is None:
            place, data = self._image(source.picture, source.hash)
            known = part_weights(data, place, source.values) if source.values else mask_weights(data, place)
            self._masks[hashlib.sha256(data).hexdigest(), source.values] = known
        return known

    def along(
        self, directions: Directions, name: str | None = None, *, file: Path | None = None, strength: Any = 1.0
    ) -> Along:
        """How a scene names one of ``directions``, which are kept for the drawing; ``file``: where they are from."""
        index = directions.header.index(name, file=str(file or "these directions"))
        key = directions.content_hash()
        self._directions[key] = directions
        path = None if file is None else str(file)
        return Along(direction=path, name=directions.names[index], hash=key, strength=strength)

    def direction(self, move: Along, model: Model) -> tuple[Directions, int]:
        """The directions that ``move`` names, and which of them it is.

        Raises:
            SceneError: their file is not there, or was changed.
            UsageError: they belong to a different model.
        """
        found = self._directions.get(move.hash or "")
        if found is None:
            if move.direction is None:
                raise SceneError(
                    "The scene's directions were made in Python, not read from a file. Save them with "
                    "sgkit.save_directions, and make the image again from that file."
                )
            place = self._find("direction", move.direction, move.hash, key="moves.0.direction")
            found = load_directions(place)
            key = found.content_hash()
            if move.hash not in (None, key):
                raise SceneError(
                    f"The directions in {place} have changed: the scene was made with {move.hash[:12]}, the file holds "
                    f"{key[:12]}. Restore the file, or remove the hash from the scene."
                )
            _keep(self._directions, key, found)
        name = move.direction or "The direction"
        own = None if self._any_model else self.model_hash(model)
        check_fits(found, model, own_hash=own, name=name)
        return found, found.header.index(move.name, file=name)

    def photo(self, source: Photo) -> Pixels:
        """The image file that ``source`` names, uint8 [H, W, C].

        Raises:
            SceneError: it is not there, or was changed.
        """
        _, data = self._image(source.photo, source.hash)
        pixels = np.asarray(open_picture(data, max_pixels=MOST_PIXELS))
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _image(self, path: str, known: str | None) -> tuple[Path, bytes]:
        """Where an image file is, and its bytes, of the hash that is ``known``."""
        place = next((one for one in self._places(path) if one.is_file()), None)
        if place is None:
            raise SceneError(f"The image file {path} is not there.")
        data = read_file(place, kind="image")
        if known not in (None, hashlib.sha256(data).hexdigest()):
            raise SceneError(f"The image file {place} has changed since the scene was made.")
        return place, data

    def _places(self, path: str) -> list[Path]:
        return [*([self._folder / path] if self._folder else []), Path(path)]

    def _file(self, source: LatentRef) -> Path:
        if source.latent is None:
            raise SceneError(
                "The scene's latents were made in Python, not read from a file. Save them with sgkit.save_latents, "
                "and make the image again from that file."
            )
        return self._find("latent", source.latent, source.hash, key="from.latent")

    def _find(self, what: str, path: str, known: str | None, *, key: str) -> Path:
        """Where the file of a subject is; ``key``: under which the subject names it."""
        for place in self._places(path):
            if place.exists():
                return place
        hashed = f" (hash {known[:12]})" if known else ""
        raise SceneError(
            f"The {what} file {path}{hashed} is not there. Put it there, or name it: --set subjects.NAME.{key}=FILE"
        )


def _keep(kept: dict[str, Any], key: str, value: Any) -> None:
    """Keep what was read, instead of what was kept first if there are many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > MOST_FILES:
        kept.pop(next(iter(kept)))


def _described(model: ModelRef) -> str:
    known = [f"hash {model.hash[:12]}"] if model.hash else []
    known += [f"last seen at {model.path}"] if model.path else []
    return ", ".join(known) or "any"


def mask_weights(data: bytes, path: Path) -> Tensor:
    """Weights [h, w] from 0 to 1 in the bytes of an image file: its alpha where it has any, its brightness otherwise.

    Raises:
        SceneError: it cannot be read, or is black all over.
    """
    try:
        image = decode_image(open_picture(data, max_pixels=MOST_PIXELS), channels=4)
    except BadImageError as error:
        raise SceneError(
            f"The mask {path} cannot be read as an image ({error.reason}). Give a PNG that is white where the shape is."
        ) from None
    alpha = image.getchannel("A")
    lowest, highest = alpha.getextrema()
    channel = alpha if (lowest, highest) != (255, 255) else image.convert("L")
    if channel.getextrema()[1] == 0:
        raise SceneError(f"The mask {path} is black all over, so it covers nothing. Paint the shape in white.")
    return _weights(channel)


def part_weights(data: bytes, path: Path, values: Sequence[int]) -> Tensor:
    """Weights [h, w] of 1 where the pixels of a segmentation are one of ``values``, and 0 elsewhere.

    Raises:
        SceneError: it cannot be read, is not a segmentation, or has no such pixels.
    """
    try:
        image = open_picture(data, max_pixels=MOST_PIXELS)
        numbers = np.asarray(image)
    except (BadImageError, OSError, SyntaxError, ValueError) as error:
        raise SceneError(f"The segmentation {path} cannot be read as an image ({error}).") from None
    if numbers.ndim != 2:
        raise SceneError(
            f"The segmentation {path} is a colour image ({image.mode}). Give a grey or palette image whose pixels are "
            "numbers of parts."
        )
    inside = np.isin(numbers, values)
    if not inside.any():
        found = ", ".join(map(str, np.unique(numbers)[:32].tolist()))
        raise SceneError(
            f"The segmentation {path} has no pixels of the numbers {', '.join(map(str, values))}; it has {found}. "
            "Check the table of parts."
        )
    return _weights(Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)))


def _weights(channel: Image.Image) -> Tensor:
    """Weights [h, w] from 0 to 1 of a grey image, which is reduced if it is large."""
    if max(channel.size) > LARGEST_MASK:
        channel.thumbnail((LARGEST_MASK, LARGEST_MASK))
    return torch.from_numpy(np.asarray(channel, dtype=np.float32) / 255)


def latents_hash(latents: Latents) -> str:
    """SHA-256 over what a picture takes from latents: space, values, labels and noise."""
    digest = hashlib.sha256(latents.space.encode())
    tensors = {**latents.values, **{f"noise {name}": maps for name, maps in latents.noise.items()}}
    tensors |= {} if latents.label is None else {"label": latents.label}
    tensors |= {} if latents.place is None else {"place": latents.place}
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().float().contiguous().numpy()
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
