"""Dragging points of an image to other places: motion supervision and point tracking in feature space.

Pan et al. 2023, "Drag Your GAN" (section 3). A latent is optimised so that the features around each handle point move
one step towards its target; then the handle is found again where the features are most like those it started with.

Positions are (x, y) in pixels of the image: (0, 0) is the centre of the first pixel. The paper measures in pixels of a
512 px image; here lengths are shares of the image's shorter side, with a least number of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sgkit.config.base import Config, Positive, Weight
from sgkit.edits import Mask, closing
from sgkit.errors import TrainingError, UsageError
from sgkit.model import Branch, Canvas, LayerSpec, Model, NoiseSource, StoredNoise, walk
from sgkit.render.features import feature_layer

SHARE = 1 / 2
"""Of the output: features of the layer whose resolution this is. The paper takes 256 px of 512."""


class DragSettings(Config):
    """How points are dragged. Defaults are the paper's where it gives one."""

    space: Literal["w", "w+"] = "w+"
    """``w``: one w for all layers moves; ``w+``: each of the first layers' w."""
    layer: str | None = None
    """The layer whose features are followed: a name or ``32px``; ``None``: the last one of half the output's size."""
    steps: Annotated[int, Field(ge=1, le=100_000)] = 300
    """Most steps; it stops earlier when every handle has arrived."""
    lr: Annotated[float, Field(gt=0, le=1e6)] = 2e-3
    """Learning rate of Adam."""
    radius: Positive | None = None
    """Radius of the patch that is moved, in pixels; ``None``: 3 of 512, and 1 or more."""
    window: Positive | None = None
    """How far from its last place a handle is looked for, in pixels; ``None``: 12 of 512, and 2 or more."""
    tolerance: Positive | None = None
    """A handle this close to its target has arrived; ``None``: 2 of 512, and 1/2 or more."""
    mask_weight: Weight = 20.0
    """Weight of keeping the features outside the mask."""


@dataclass(frozen=True)
class Scale:
    """Lengths in pixels for one image size."""

    radius: float
    window: float
    tolerance: float
    step: float
    """How far the patch is moved at a time, and the spacing of the places that tracking compares."""

    @classmethod
    def of(cls, settings: DragSettings, size: tuple[int, int]) -> Scale:
        """The settings' lengths for images of ``size`` (height, width)."""
        unit = min(size) / 512
        return cls(
            radius=settings.radius or max(3 * unit, 1.0),
            window=settings.window or max(12 * unit, 2.0),
            tolerance=settings.tolerance or max(2 * unit, 0.5),
            step=max(unit, 0.25),
        )


@dataclass(frozen=True, kw_only=True)
class Dragged:
    """What was found."""

    ws: Tensor
    """w+ [1, num_ws, w_dim]."""
    path: Tensor
    """w+ after every step, with the start [T + 1, num_ws, w_dim]."""
    handles: Tensor
    """Where the handles were tracked after every step, with the start [T + 1, K, 2]."""
    targets: Tensor
    """[K, 2]."""
    losses: tuple[float, ...]
    layer: str
    arrived: bool
    """Whether every handle came within the tolerance of its target, by tracking."""

    @property
    def distances(self) -> Tensor:
        """Distance of each handle to its target after every step [T + 1, K], in pixels, as tracked."""
        found: Tensor = (self.handles - self.targets).norm(dim=2)
        return found


def followed_layer(model: Model, text: str | None) -> LayerSpec:
    """The layer whose features are followed.

    Raises:
        UsageError: the model has no such layer.
    """
    if text is not None:
        return feature_layer(model, text)
    plan = model.generator.synthesis.plan
    last = max(closing(share=SHARE).layers(plan))
    return [spec for spec in plan[: last + 1] if spec.kind != "rgb"][-1]


# ------------------------------------------------------------------------------------------- features


def sample(features: Tensor, points: Tensor, size: tuple[int, int], margin: int = 0) -> Tensor:
    """``features`` [1, C, h, w] at ``points`` [M, 2] by bilinear interpolation: [M, C].

    Args:
        features: of an image, with ``margin`` pixels beyond it at each edge.
        points: (x, y) in pixels of the image; beyond the tensor's edge its outermost value counts.
        size: height and width of the image.
        margin: see above.
    """
    height, width = features.shape[2:]
    image = points.new_tensor([size[1], size[0]])
    inner = points.new_tensor([width - 2 * margin, height - 2 * margin])
    place = (points + 0.5) / image * inner + margin  # in pixels of the tensor, from its edge
    grid = 2 * place / points.new_tensor([width, height]) - 1
    found = F.grid_sample(features, grid[None, None].to(features), padding_mode="border", align_corners=False)
    rows: Tensor = found[0, :, 0].t()
    return rows


def disc(radius: float, step: float) -> Tensor:
    """Offsets [M, 2] of a grid of spacing ``step`` that are at most ``radius`` from 0."""
    count = int(radius / step + 1e-6)
    line = torch.arange(-count, count + 1) * step
    offsets = torch.cartesian_prod(line, line)
    return offsets[offsets.norm(dim=1) <= radius + 1e-6]


def square(radius: float, step: float) -> Tensor:
    """Offsets [M, 2] of a grid of spacing ``step`` in a square of that half side."""
    count = int(radius / step + 1e-6)
    line = torch.arange(-count, count + 1) * step
    return torch.cartesian_prod(line, line)


def motion_loss(
    features: Tensor,
    handles: Tensor,
    targets: Tensor,
    *,
    scale: Scale,
    size: tuple[int, int],
    margin: int = 0,
) -> Tensor:
    """Sum over handles of the mean of |F(q) - F(q + d)| over the patch around each (equation 1).

    F(q) is held fixed, so that descending moves what is at q to q + d; d leads to the target, one step long, or less
    where the target is nearer. Handles that have arrived (within the tolerance) do not pull.
    """
    total = features.new_zeros(())
    offsets = disc(scale.radius, min(scale.radius, 1.0)).to(handles)
    for handle, target in zip(handles, targets, strict=True):
        way = target - handle
        distance = float(way.norm())
        if distance <= scale.tolerance:
            continue
        d = way / distance * min(max(scale.step, 1.0), distance)
        q = handle + offsets
        fixed = sample(features, q, size, margin).detach()
        total = total + (sample(features, q + d, size, margin) - fixed).abs().mean()
    return total


def mask_loss(features: Tensor, start: Tensor, free: Tensor) -> Tensor:
    """Mean of |F - F0| over what must stay (equation 1): ``free`` [h, w] is 1 where the image may change."""
    return ((features - start) * (1 - free)).abs().mean()


def track(
    features: Tensor,
    wanted: Tensor,
    handles: Tensor,
    *,
    scale: Scale,
    size: tuple[int, int],
    margin: int = 0,
) -> Tensor:
    """Where the features are nearest to ``wanted`` [K, C] in the window around each handle (equation 2): [K, 2]."""
    offsets = square(scale.window, scale.step).to(handles)
    limit = handles.new_tensor([size[1] - 1, size[0] - 1])
    found = []
    for handle, feature in zip(handles, wanted, strict=True):
        places = (handle + offsets).clamp(min=handles.new_zeros(2), max=limit)
        distances = (sample(features, places, size, margin) - feature).abs().sum(dim=1)
        found.append(places[int(distances.argmin())])
    return torch.stack(found)


# --------------------------------------------------------------------------------------------- search


def drag(
    model: Model,
    ws: Tensor,
    handles: Sequence[tuple[float, float]],
    targets: Sequence[tuple[float, float]],
    settings: DragSettings | None = None,
    *,
    mask: Mask | None = None,
    noise: NoiseSource | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Dragged:
    """The latent whose image has what was at ``handles`` at ``targets``.

    Args:
        model: any that has w.
        ws: the start, w+ [1, num_ws, w_dim].
        handles: (x, y) in pixels.
        targets: where each handle is to go.
        settings: how.
        mask: 1 where the image may change; ``None``: everywhere.
        noise: the noise inputs; ``None``: those stored in the model.
        on_step: called with the number of the step and the distances [K] in pixels.

    Raises:
        UsageError: a point is outside the image, there are none, or the layer does not fit the model.
        TrainingError: the search diverged.
    """
    settings = settings or DragSettings()
    check_points(model, handles, targets)
    found = _Drag(model, ws.to(model.device, torch.float32), handles, targets, settings, mask, noise or StoredNoise())
    for step in range(settings.steps):
        distances = found.step(step)
        if on_step is not None:
            on_step(step, distances)
        if bool((distances <= found.scale.tolerance).all()):
            break
    return found.result()


def check_points(model: Model, handles: Sequence[tuple[float, float]], targets: Sequence[tuple[float, float]]) -> None:
    """Refuse points that are not in the model's images.

    Raises:
        UsageError: there are none, or one is outside.
    """
    height, width = model.image_size
    if not handles or len(handles) != len(targets):
        raise UsageError(
            f"{len(handles)} handle points and {len(targets)} targets were given. Give at least one handle, and a "
            "target for each."
        )
    for kind, points in (("handle", handles), ("target", targets)):
        for x, y in points:
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                raise UsageError(
                    f"The {kind} point {x:g},{y:g} is outside the image, which has {width}x{height} pixels: x goes "
                    f"from 0 to {width - 1}, y from 0 (top) to {height - 1}. Look up pixels in an image viewer."
                )


@dataclass
class _Drag:
    """A search under way."""

    model: Model
    ws: Tensor
    handle_points: Sequence[tuple[float, float]]
    target_points: Sequence[tuple[float, float]]
    settings: DragSettings
    mask: Mask | None
    noise: NoiseSource
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = self.model.image_size
        self.layer = followed_layer(self.model, self.settings.layer)
        self.scale = Scale.of(self.settings, self.size)
        plan = self.model.generator.synthesis.plan
        used = [s.style_index for s in plan[: self.layer.index + 1] if s.style_index is not None]
        if not used:
            raise UsageError(
                f"No style comes before layer {self.layer.name}, so it cannot be moved. Choose a later layer, for "
                "example --layer 16px."
            )
        rows = max(used) + 1 if self.settings.space == "w+" else 1
        self.delta = torch.zeros(rows, self.ws.shape[2], device=self.ws.device, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.delta], lr=self.settings.lr)
        self.targets = torch.tensor(self.target_points, dtype=torch.float32, device=self.ws.device)
        self.points = torch.tensor(self.handle_points, dtype=torch.float32, device=self.ws.device)
        self.now, canvas = self.features()
        self.start = self.now.detach()
        self.wanted = sample(self.start, self.points, self.size, self.layer.margin)
        self.free = None if self.mask is None else self.mask(canvas).to(self.start).expand(canvas.size)
        self.trail, self.latents = [self.points.cpu()], [self.moved().detach().cpu()]

    def moved(self) -> Tensor:
        """w+ with what was found so far."""
        rest = self.ws.shape[1] - len(self.delta) if self.settings.space == "w+" else 0
        found: Tensor = self.ws + F.pad(self.delta, (0, 0, 0, rest))
        return found

    def features(self) -> tuple[Tensor, Canvas]:
        """Features [1, C, h, w] of the followed layer, and their canvas."""
        synthesis = self.model.generator.synthesis
        (state,) = walk([Branch(synthesis, self.model.styles(self.moved()), self.noise)], stop=self.layer.index + 1)
        return state.features.float(), state.place

    def step(self, step: int) -> Tensor:
        """Move the features, then find the handles again; the distances [K] after it."""
        facts = {"scale": self.scale, "size": self.size, "margin": self.layer.margin}
        loss = motion_loss(self.now, self.points, self.targets, **facts)  # type: ignore[arg-type]
        if self.free is not None:
            loss = loss + self.settings.mask_weight * mask_loss(self.now, self.start, self.free)
        if not bool(torch.isfinite(loss.detach())):
            raise TrainingError(
                f"The search diverged at step {step}: the loss is not finite. Lower the learning rate (--lr)."
            )
        self.losses.append(float(loss.detach()))
        self.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.now, _ = self.features()
        with torch.no_grad():
            self.points = track(self.now, self.wanted, self.points, **facts)  # type: ignore[arg-type]
        self.trail.append(self.points.cpu())
        self.latents.append(self.moved().detach().cpu())
        distances: Tensor = (self.points - self.targets).norm(dim=1)
        return distances

    def result(self) -> Dragged:
        """What was found."""
        handles = torch.stack(self.trail)
        last = (handles[-1] - self.targets.cpu()).norm(dim=1)
        return Dragged(
            ws=self.moved().detach(),
            path=torch.cat(self.latents),
            handles=handles,
            targets=self.targets.cpu(),
            losses=tuple(self.losses),
            layer=self.layer.name,
            arrived=bool((last <= self.scale.tolerance).all()),
        )
