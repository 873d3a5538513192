"""How each array of a golden case is computed with sgkit, read off the array's name and description.

A name is ``NETWORK.WHAT[_MODIFIER...][.LAYER]``, such as ``G_ema.img_psi0.7``, ``D.scores_lod1.5``,
``Gs.feat_from_ws.8x8.Conv1``. Names of networks and layers are those of the project that wrote the checkpoint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgkit.model import (
    Branch,
    Discriminator,
    Generator,
    LayerSpec,
    MapNoise,
    Model,
    NoiseSource,
    State,
    noise_source,
    steps,
    truncate,
)
from sgkit.ops import conv2d, equalized_gain

ROLES = {
    "generator": ("G_ema", "Gs", "g_ema", "g_running"),
    "raw_generator": ("G", "g", "generator"),
    "discriminator": ("D", "d", "discriminator"),
}
MODIFIER = re.compile(
    r"_(noise_none|from_ws|transform|mixrange|mix|(?:psi|cutoff|lod|alpha|step|first)(?=\d))(\d+(?:\.\d+)?)?"
)
NAME = re.compile(
    rf"(?P<what>ws|w|img|logits|scores|labels|feat|rgb)(?P<modifiers>(?:{MODIFIER.pattern})*)(?:\.(?P<layer>.+))?"
)


@dataclass(frozen=True)
class Wanted:
    """An array's name, taken apart."""

    role: str
    what: str
    modifiers: dict[str, float]
    layer: str | None
    text: str
    """What the case says about the array."""

    def number(self, pattern: str) -> int | None:
        """A number that only the description gives."""
        found = re.search(pattern, self.text)
        return int(found[1]) if found else None


def parse(name: str, text: str) -> Wanted | None:
    """The name taken apart; ``None`` when it follows no known rule."""
    network, _, rest = name.partition(".")
    role = next((role for role, names in ROLES.items() if network in names), None)
    found = NAME.fullmatch(rest)
    if role is None or found is None:
        return None
    numbers = {key: float(value or 0) for key, value in MODIFIER.findall(found["modifiers"])}
    return Wanted(role, found["what"], numbers, found["layer"], text)


@dataclass
class Recipe:
    """Computes arrays with one model of a case."""

    model: Model
    inputs: dict[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def compute(self, wanted: Wanted) -> Tensor:
        """The array. LookupError: it names a layer or an input that is not there."""
        lod = wanted.modifiers.get("lod", 1 - wanted.modifiers["alpha"] if "alpha" in wanted.modifiers else 0.0)
        self.model.grow(lod)
        try:
            if wanted.role == "discriminator":
                return self._judged(wanted)
            return self._generated(wanted)
        finally:
            self.model.grow(0.0)

    # ------------------------------------------------------------------------------------------ generator

    def generator(self, wanted: Wanted) -> Generator:
        network = self.model.generator if wanted.role == "generator" else self.model.raw_generator
        assert network is not None
        return network

    def _generated(self, wanted: Wanted) -> Tensor:
        generator, ws = self.generator(wanted), self.ws(wanted)
        if wanted.what in ("ws", "w"):
            return ws if wanted.what == "ws" else ws[:, 0]
        with self._placed(generator, wanted):
            branch = Branch(generator.synthesis, generator.synthesis.styles(ws), self.noise(wanted, generator))
            if wanted.what == "img":
                return list(steps([branch]))[-1][1][0].image
            return self._read(branch, wanted)

    def ws(self, wanted: Wanted) -> Tensor:
        """w+ as the array's name wants it."""
        mapping, inputs = self.generator(wanted).mapping, self.inputs
        if "from_ws" in wanted.modifiers:
            return inputs["ws"]
        z = inputs["z"][:1] if "step" in wanted.modifiers else inputs["z"]
        label = inputs.get("c", inputs.get("labels"))
        ws: Tensor = mapping(z, label)
        if "mix" in wanted.modifiers:
            start = wanted.number(r"inject_index=(\d+)")
            assert start is not None, "case.json does not say inject_index=N of it"
            ws = torch.cat([ws[:, :start], mapping(inputs["z2"], label)[:, start:]], dim=1)
        if "mixrange" in wanted.modifiers:
            first, last = wanted.number(r"mixing_range=\((\d+)"), wanted.number(r"mixing_range=\(\d+, (\d+)")
            assert first is not None and last is not None, "case.json does not say mixing_range=(N, N) of it"  # noqa: PT018
            ws = ws.clone()
            ws[:, first : last + 1] = mapping(z.flip(0), label)[:, first : last + 1]
        if "psi" in wanted.modifiers:
            cutoff = wanted.modifiers.get("cutoff", wanted.number(r"truncation_cutoff=(\d+)"))
            average = inputs.get("latent_avg", inputs.get("mean_style", mapping.w_avg)).reshape(-1)
            limit = None if cutoff is None else min(int(cutoff), ws.shape[1])
            ws = truncate(ws, average, psi=wanted.modifiers["psi"], cutoff=limit)
        return ws

    def noise(self, wanted: Wanted, generator: Generator, *, first: bool = False) -> NoiseSource:
        """Stored maps, none, or those that come with the case (``noise0`` for 4x4), of the ``first`` sample or all."""
        if "noise_none" in wanted.modifiers:
            return noise_source("none")
        given = {name: maps for name, maps in self.inputs.items() if re.fullmatch(r"noise\d+", name)}
        if not given:
            return noise_source("const")
        count = 1 if first or "step" in wanted.modifiers else None
        plan = generator.synthesis.plan
        return MapNoise({s.name: given[f"noise{_level(s)}"][:count] for s in plan if s.has_noise})

    def _placed(self, generator: Generator, wanted: Wanted) -> _Placement:
        matrix = self.inputs["transform"] if "transform" in wanted.modifiers else None
        return _Placement(generator, matrix)

    def _read(self, branch: Branch, wanted: Wanted) -> Tensor:
        """Features or the image so far behind the layer that the project calls ``wanted.layer``."""
        assert wanted.layer is not None
        names = generator_layers(branch.network)  # type: ignore[arg-type]
        name, part = names[wanted.layer]
        if wanted.what == "rgb":
            name, part = name.replace("_conv1", "_rgb"), "rgb"
        for spec, before, state in _traced(branch):
            if spec.name == name:
                return _part(branch, spec, before, state, part)
        raise LookupError(name)

    # -------------------------------------------------------------------------------------- discriminator

    def _judged(self, wanted: Wanted) -> Tensor:
        discriminator, inputs = self.model.discriminator, self.inputs
        assert discriminator is not None
        step = wanted.modifiers.get("step")
        images = inputs["images" if step is None else f"images_step{int(step)}"]
        label = inputs.get("c_D", inputs.get("labels_D"))
        count = int(wanted.modifiers.get("first", len(images)))
        images, label = images[:count], None if label is None else label[:count]
        if wanted.what in ("logits", "scores"):
            return discriminator(images, label)  # type: ignore[no-any-return]
        if wanted.what == "labels":
            return discriminator.features(images)[discriminator.plan[-1].name][:, 1:]
        if wanted.layer == "mapping":
            return discriminator.mapping(None, label)[:, 0]  # type: ignore[no-any-return]
        name, part = discriminator_layers(discriminator)[wanted.layer or ""]
        branch = Branch(discriminator)
        for spec, before, state in _traced(branch, State(rgb=images)):
            if spec.name == name:
                return _part(branch, spec, before, state, part)
        raise LookupError(name)


class _Placement:
    """While it is on, StyleGAN3's input is moved by a matrix."""

    def __init__(self, generator: Generator, matrix: Tensor | None) -> None:
        self.matrix, self.buffer = matrix, None
        if matrix is not None:
            self.buffer = generator.synthesis.layer(generator.synthesis.plan[0].name).transform

    def __enter__(self) -> None:
        if self.buffer is not None and self.matrix is not None:
            self.kept = self.buffer.clone()
            self.buffer.copy_(self.matrix)

    def __exit__(self, *_: object) -> None:
        if self.buffer is not None:
            self.buffer.copy_(self.kept)


# ------------------------------------------------------------------------------------------ layer names


def _level(spec: LayerSpec) -> int:
    return spec.resolution.bit_length() - 3


def generator_layers(network: object) -> dict[str, tuple[str, str]]:
    """Every project's name of a layer of G -> (our name, which part of its output)."""
    names: dict[str, tuple[str, str]] = {}
    for spec in network.plan:  # type: ignore[attr-defined]
        r, level = spec.resolution, _level(spec)
        if spec.alias_free is not None:
            key = "input" if spec.kind == "input" else f"L{spec.index - 1}_{spec.size[1]}_{spec.out_channels}"
            names[key] = (spec.name, "unscaled rgb" if spec.kind == "rgb" else "x")
        elif spec.kind == "input":
            names[f"{r}x{r}.Dense"] = names[f"{r}x{r}.Const"] = (spec.name, "x")
        elif spec.kind == "rgb":
            names["to_rgb1" if level == 0 else f"to_rgbs.{level - 1}"] = (spec.name, "rgb")
        elif spec.up == 2:
            names[f"{r}x{r}.Conv0_up"] = names[f"{r}x{r}.Conv0"] = (spec.name, "own x")
            names[f"convs.{2 * level - 2}"] = (spec.name, "x")
        else:
            names[f"{r}x{r}.Conv" if level == 0 else f"{r}x{r}.Conv1"] = (spec.name, "own x")
            names["conv1" if level == 0 else f"convs.{2 * level - 1}"] = (spec.name, "x")
            names[f"b{r}"] = names[f"progression.{level}"] = (spec.name, "x")
    return names


def discriminator_layers(discriminator: Discriminator) -> dict[str, tuple[str, str]]:
    """Every project's name of a layer of D -> (our name, which part of its output)."""
    names: dict[str, tuple[str, str]] = {}
    top = _level(discriminator.plan[0])
    for spec in discriminator.plan:
        r, level = spec.resolution, _level(spec)
        if spec.kind == "from_rgb" and level == top:
            names["convs.0"] = (spec.name, "x")
        elif spec.kind == "conv" and spec.down == 1:
            names[f"{r}x{r}.Conv0"] = (spec.name, "x")
        elif spec.kind == "conv":
            names[f"{r}x{r}.Conv1_down"] = names[f"{r}x{r}.Conv1"] = (spec.name, "own x")
            names[f"b{r}"] = names[f"convs.{top - level + 1}"] = names[f"progression.{8 - level}"] = (spec.name, "x")
    return names


def _traced(branch: Branch, start: State | None = None) -> Iterator[tuple[LayerSpec, State, State]]:
    """Each layer with the states before and behind it."""
    before = start or State()
    for spec, (state,) in steps([branch], states=None if start is None else [start]):
        yield spec, before, state
        before = state


def _part(branch: Branch, spec: LayerSpec, before: State, state: State, part: str) -> Tensor:
    """One part of a layer's output; ``own x``: as it was before a residual sum and its scaling."""
    if part == "rgb":
        return state.image
    if part == "unscaled rgb":
        return state.image / branch.network.config.synthesis.alias_free.output_scale  # type: ignore[attr-defined]
    if part == "x" or spec.shortcut != "close":
        return state.features
    assert before.shortcut is not None
    shortcut = before.shortcut
    if spec.down == 2:
        layer = branch.network.get_submodule(spec.name)  # type: ignore[attr-defined]
        weight = layer.skip_weight * equalized_gain(layer.skip_weight.shape, gain=math.sqrt(0.5))
        shortcut = conv2d(shortcut, weight, down=2, taps=layer.taps)
    return (state.features - shortcut) / math.sqrt(0.5)
