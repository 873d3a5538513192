"""Whether a panorama shows where its images or its tiles meet, in pixels and in features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sgkit.errors import InputError, SgkitError, UsageError
from sgkit.metrics.features import FeatureExtractor, load_extractor
from sgkit.model import Axis
from sgkit.packaged import packaged_path
from sgkit.render.arrange import grid_of
from sgkit.render.files import read_sheet
from sgkit.render.grid import Grid
from sgkit.render.inputs import MOST_PIXELS, Inputs
from sgkit.render.panorama import Layout, PanoramaSeams, layout_of
from sgkit.render.pictures import Pixels
from sgkit.render.planes import TILE
from sgkit.render.render import render
from sgkit.render.scene import Line, Scene
from sgkit.render.seams import steps_of
from sgkit.runtime.limits import read_file
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.decoding import open_picture

PATCH = 64
"""Side of the patches whose features are compared."""
MOST_PATCHES = 128
"""At joins, and elsewhere."""


@dataclass(frozen=True, kw_only=True)
class FeatureSteps:
    """Mean distance of the features of neighbouring patches, where images meet and elsewhere."""

    at_joins: float
    elsewhere: float

    @property
    def ratio(self) -> float:
        """1: joins look like the rest; clearly above 1: they can be seen."""
        return self.at_joins / max(self.elsewhere, 1e-12)


@dataclass(frozen=True, kw_only=True)
class SeamsResult:
    """How visible the joins of a panorama are."""

    file: Path
    width: int
    height: int
    columns: int
    rows: int
    seam_ratio: float | None
    """Mean step between neighbouring pixels at the joins, over that elsewhere: about 1 where no seam shows."""
    seams: PanoramaSeams
    """Steps between pixels."""
    features_x: FeatureSteps | None
    """Steps between EfficientNet features of patches beside each other; ``None``: too few images, or too small ones."""
    features_y: FeatureSteps | None


def measure_seams(file: str | Path, *, device: torch.device | str = "cpu") -> SeamsResult:
    """The seams of a panorama: an image that carries its scene, or a scene as JSON, which is drawn first.

    Raises:
        InputError: the file cannot be read, or is not a panorama.
        SceneError: it carries no scene.
    """
    path = Path(file)
    sheet = read_sheet(path)
    scene = sheet.filled[0] if len(sheet.scenes) == 1 and sheet.filled else None
    if scene is None or sheet.frames or not isinstance(scene.arrangement, (Grid, Line)):
        raise InputError(
            f"{path} is not a panorama, so it has no joins. Make one with: sgkit panorama MODEL --out FILE"
        )
    inputs = _inputs(scene, device)
    if path.suffix.lower() == ".json":
        if inputs is None:
            raise InputError(
                f"The model of {path} is not there. Make the image with: sgkit replay {path} --model MODEL"
            )
        pixels = next(render(scene, inputs)).pixels
    else:
        pixels = _pixels(path)
    layout = _layout(scene, inputs, pixels)
    seams = layout.seams(steps_of(pixels))
    extractor = load_extractor("effnet", device)
    return SeamsResult(
        file=path,
        width=pixels.shape[1],
        height=pixels.shape[0],
        columns=layout.columns,
        rows=layout.rows,
        seam_ratio=seams.ratio,
        seams=seams,
        features_x=feature_steps(pixels, layout.joins_x, extractor, axis="x"),
        features_y=feature_steps(pixels, layout.joins_y, extractor, axis="y"),
    )


def feature_steps(
    pixels: Pixels, joins: Sequence[int], extractor: FeatureExtractor, *, axis: Axis = "x"
) -> FeatureSteps | None:
    """Distances of the features of patches on either side of the joins, and of others as far apart, elsewhere.

    Elsewhere is half-way between joins, so both are taken at the same places of the images that blend.

    Returns:
        ``None`` where there are no two joins with room for patches around.
    """
    turned = pixels if axis == "x" else pixels.transpose(1, 0, 2)
    height, width = turned.shape[:2]
    inside = [join for join in joins if 0 < join < width]
    part = min((b - a for a, b in zip([0, *inside], [*inside, width], strict=True)), default=0)
    side = min(PATCH, part // 2, height)
    if not inside or side < 8:
        return None
    middles = [(a + b) // 2 for a, b in zip([0, *inside], [*inside, width], strict=True)]
    found = [_distances(turned, places, side, extractor) for places in (inside, middles)]
    return FeatureSteps(at_joins=float(found[0].mean()), elsewhere=float(found[1].mean()))


def _distances(pixels: Pixels, places: Sequence[int], side: int, extractor: FeatureExtractor) -> torch.Tensor:
    """Distances between the features of the patches before and after ``places``."""
    tops = range(0, pixels.shape[0] - side + 1, side)
    corners = [(top, at) for at in places for top in tops if side <= at <= pixels.shape[1] - side]
    corners = corners[:: max(-(-len(corners) // MOST_PATCHES), 1)]
    patches = [pixels[top : top + side, left : left + side] for top, at in corners for left in (at - side, at)]
    stacked = torch.from_numpy(np.stack(patches).transpose(0, 3, 1, 2).copy())
    features = torch.cat([extractor(stacked[start : start + 32]) for start in range(0, len(stacked), 32)]).double()
    return (features[0::2] - features[1::2]).square().sum(dim=1).sqrt()


def _pixels(path: Path) -> Pixels:
    try:
        image = open_picture(read_file(path, kind="image"), max_pixels=MOST_PIXELS)
    except BadImageError as error:
        raise InputError(
            f"{path} cannot be measured: {error}. Give an image of at most {MOST_PIXELS:,} pixels."
        ) from None
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _inputs(scene: Scene, device: torch.device | str) -> Inputs | None:
    """The model that the scene names, where it was last seen; ``None``: it is not there."""
    import sgkit

    reference = next(iter(scene.models.values()), None)
    if reference is None or reference.path is None:
        return None
    try:
        model = sgkit.load(packaged_path(reference.path), device=device)
    except SgkitError:
        return None
    inputs = Inputs(model)
    return inputs if reference.hash in (None, inputs.model_hash(model)) else None


def _layout(scene: Scene, inputs: Inputs | None, pixels: Pixels) -> Layout:
    """Where parts meet; without the model, parts are taken to share the image evenly."""
    if inputs is not None:
        try:
            return layout_of(scene, inputs)
        except UsageError as error:
            raise InputError(f"The scene of the image does not fit its model: {error}") from None
    assert isinstance(scene.arrangement, (Grid, Line))
    grid = grid_of(scene.arrangement)
    height, width = pixels.shape[:2]
    joins = [
        tuple(round(side * place / count) for place in range(1, count + (axis in scene.periodic and count > 1)))
        for axis, side, count in (("y", height, grid.rows), ("x", width, grid.columns))
    ]
    return Layout(
        width=width,
        height=height,
        columns=grid.columns,
        rows=grid.rows,
        joins_x=joins[1],
        joins_y=joins[0],
        tile=grid.tile or TILE,
        wrap=scene.periodic,
    )
