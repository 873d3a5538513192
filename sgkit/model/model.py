"""A model as users hold it: the averaged generator, its discriminator, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from typing_extensions import Self

from sgkit.config import ModelConfig
from sgkit.errors import UsageError, did_you_mean
from sgkit.model.discriminator import Discriminator
from sgkit.model.finite import finite
from sgkit.model.generator import Generator
from sgkit.model.inputs import as_device, as_numbers, as_psi, as_tensor
from sgkit.model.layers import SelfModulated
from sgkit.model.noise import NoiseSource, noise_source
from sgkit.model.statistics import tracking
from sgkit.model.walk import Branch, walk
from sgkit.runtime.allocator import keep_freed_memory

FloatOrMore = float | Sequence[float]
"""Inside :class:`Model`, ``float`` is a method."""
_CALIBRATION = 16
"""Images whose statistics a fresh network starts with."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Where a model comes from."""

    kimg: float = 0.0
    """Thousands of images that its discriminator has seen."""
    lod: float = 0.0
    """Growing networks: doublings still left out (ProGAN, section 2)."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts: data, source file, preset."""

    @property
    def tuned_from(self) -> tuple[str, ...]:
        """Content hashes of the models that this one was tuned from, the nearest first; latents of these fit it."""
        hashes = self.provenance.get("tuned_from")
        return tuple(map(str, hashes)) if isinstance(hashes, (list, tuple)) else ()

    def after_tuning(self, model_hash: str, settings: Mapping[str, Any]) -> ModelInfo:
        """That of the result of tuning the model with this content hash."""
        tuned = {"tuned_from": [model_hash, *self.tuned_from], "tuning": dict(settings)}
        return replace(self, provenance={**self.provenance, **tuned})

    @property
    def augment_p(self) -> float | None:
        """The probability of augmentation (ADA) at the end of its training; ``None``: without, or not recorded."""
        pipe = self.provenance.get("augment_pipe")
        value: Any = pipe.get("p") if isinstance(pipe, Mapping) else self.provenance.get("ada_aug_p")
        while isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if is_number and 0 <= value <= 1 else None


@dataclass
class Model:
    """What ``sgkit.load(path)`` gives: networks in evaluation mode whose parameters need no gradient.

    Gradients still flow through them to latents and images that ask for one.
    """

    config: ModelConfig
    generator: Generator
    """The moving average over training: the one to use."""
    discriminator: Discriminator | None = None
    raw_generator: Generator | None = None
    """The generator as trained, not averaged: to continue training from."""
    info: ModelInfo = field(default_factory=ModelInfo)

    def __post_init__(self) -> None:
        keep_freed_memory()
        for network in self.networks().values():
            network.eval().requires_grad_(False)
        if self.info.lod != 0:
            self.grow(self.info.lod)

    def grow(self, lod: float, *, enlarged: bool = True) -> None:
        """Set how far the networks have grown: see :meth:`sgkit.model.Synthesis.grow`."""
        for network in self.networks().values():
            network.grow(lod, enlarged=enlarged)

    def networks(self) -> dict[str, Generator | Discriminator]:
        """The networks that are there, by their names in a model file."""
        every: dict[str, Generator | Discriminator | None] = {
            "generator": self.generator,
            "raw_generator": self.raw_generator,
            "discriminator": self.discriminator,
        }
        return {name: network for name, network in every.items() if network is not None}

    def to(self, device: torch.device | str | torch.dtype | None = None, dtype: torch.dtype | None = None) -> Self:
        """This model, its networks moved to ``device``, to numbers of type ``dtype``, or both.

        Raises:
            UsageError: this machine or this build of PyTorch has no such device; ``dtype`` is not floating-point.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype is not None and not dtype.is_floating_point:
            raise UsageError(f"{dtype} is not a floating-point type; use torch.float32, bfloat16 or float16.")
        target = None if device is None else as_device(device)
        for network in self.networks().values():
            network.to(device=target, dtype=dtype)
        return self

    def half(self) -> Self:
        """This model with parameters of 16 bits."""
        return self.to(torch.float16)

    def float(self) -> Self:
        """This model with parameters of 32 bits."""
        return self.to(torch.float32)

    def cpu(self) -> Self:
        """This model on the CPU."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """This model on the first CUDA device."""
        return self.to("cuda")

    def eval(self) -> Self:
        """This model, whose networks are always in evaluation mode."""
        return self

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the averaged generator."""
        return self.generator.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors of all networks, by their names in a model file: ``generator.mapping.fc0.weight``."""
        return {
            f"{name}.{key}": value for name, one in self.networks().items() for key, value in one.state_dict().items()
        }

    def __call__(
        self,
        z: Tensor | ArrayLike | None,
        label: Tensor | ArrayLike | int | str | None = None,
        *,
        psi: FloatOrMore = 1.0,
        noise: str | NoiseSource = "const",
    ) -> Tensor:
        """Images [N, C, H, W], about -1 to 1, for ``z`` [N, z_dim]: :meth:`map`, then :meth:`synthesize`."""
        return self.synthesize(self.map(z, label, psi=psi), noise=noise)

    @property
    def z_dim(self) -> int:
        """Length of z."""
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        """Length of one w."""
        return self.config.w_dim

    @property
    def label_dim(self) -> int:
        """Length of a label, which is the number of classes where there are classes; 0: unconditional."""
        return self.config.label_dim

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the generator's parameters."""
        return next(self.generator.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the generator's parameters are."""
        return next(self.generator.parameters()).device

    @property
    def num_ws(self) -> int:
        """Length of w+."""
        return self.generator.num_ws

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.config.image_size

    def sample_z(self, seeds: int | Iterable[int]) -> Tensor:
        """z [N, z_dim] for one seed or N: the latents that NVIDIA's tools draw from these seeds, too.

        Raises:
            UsageError: a seed is not a whole number from 0 to 2**32 - 1.
        """
        numbers = as_numbers(seeds, "seeds")
        wrong = [seed for seed in numbers if not 0 <= seed < 2**32]
        if wrong:
            raise UsageError(f"Seed {wrong[0]} is out of range; seeds go from 0 to {2**32 - 1}.")
        rows = np.array([np.random.RandomState(seed).randn(self.config.z_dim) for seed in numbers])
        return torch.tensor(rows.reshape(len(numbers), self.config.z_dim), dtype=torch.float32, device=self.device)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that the model was trained on, in the order of their numbers; empty: not known."""
        names = self.info.provenance.get("class_names")
        if not isinstance(names, (list, tuple)) or len(names) != self.config.label_dim:
            return ()
        return tuple(str(name) for name in names)

    def one_hot(self, classes: int | Iterable[int], *, count: int | None = None) -> Tensor:
        """Label vectors [N, label_dim] for class numbers; one number is repeated ``count`` times.

        Raises:
            UsageError: the model takes no label, or a number is out of range.
        """
        numbers = as_numbers(classes, "classes")
        if count is not None and len(numbers) == 1:
            numbers *= count
        if self.config.label_dim == 0:
            raise UsageError("This model is unconditional: leave the class out.")
        wrong = [number for number in numbers if not 0 <= number < self.config.label_dim]
        if wrong:
            raise UsageError(
                f"Class {wrong[0]} is out of range; the model has classes 0 to {self.config.label_dim - 1}."
            )
        return torch.eye(self.config.label_dim, device=self.device)[numbers]

    def map(
        self,
        z: Tensor | ArrayLike | None,
        label: Tensor | ArrayLike | int | str | None = None,
        *,
        truncation_psi: FloatOrMore = 1.0,
        truncation_cutoff: int | None = None,
        psi: FloatOrMore | None = None,
    ) -> Tensor:
        """w+ [N, num_ws, w_dim] for ``z`` [N, z_dim] and ``label`` [N, label_dim]; see :class:`sgkit.model.Mapping`.

        Args:
            z: a tensor or array.
            label: label vectors; or one class for all, by number or name.
            truncation_psi: 1 keeps w as it is, 0 gives the average; one number, or one for each w.
            truncation_cutoff: truncate only this many w, from the first on.
            psi: the command line's short name of ``truncation_psi``.

        Raises:
            UsageError: an argument does not fit the model.
        """
        if psi is not None and truncation_psi != 1.0:
            raise UsageError("psi and truncation_psi are two names for one number; give one of them.")
        factors = as_psi(truncation_psi if psi is None else psi)
        latent = None if z is None else as_tensor(z, "z", self.device)
        if latent is not None and latent.ndim == 0:
            raise UsageError(f"z is one number; give latents [N, {self.z_dim}], for example model.sample_z(5).")
        if isinstance(label, (int, np.integer, str)):
            label = self.one_hot(self._class_number(label), count=1 if latent is None else len(latent))
        vectors = None if label is None else as_tensor(label, "label", self.device)
        return self.generator.mapping(latent, vectors, truncation_psi=factors, truncation_cutoff=truncation_cutoff)  # type: ignore[no-any-return]

    def _class_number(self, label: int | np.integer[Any] | str) -> int:
        if not isinstance(label, str):
            return int(label)
        if label in self.class_names:
            return self.class_names.index(label)
        known = (
            did_you_mean(label, self.class_names) if self.class_names else "Its file has no class names: use a number."
        )
        raise UsageError(f"{label!r} is not a class of this model. {known}")

    def styles(self, ws: Tensor | ArrayLike) -> dict[str, Tensor]:
        """s: layer name -> style [N, C], for ``ws`` [N, num_ws, w_dim], a tensor or array."""
        return self.generator.synthesis.styles(as_tensor(ws, "ws", self.device))

    def synthesize(
        self, ws: Tensor | ArrayLike, *, noise: str | NoiseSource = "const", noise_seed: int | Sequence[int] = 0
    ) -> Tensor:
        """Images [N, C, H, W], about -1 to 1, for ``ws`` [N, num_ws, w_dim], a tensor or array.

        Args:
            ws: latents.
            noise: ``const``, ``random``, ``none`` or a source.
            noise_seed: seed of ``random`` noise: one for all images, or one for each.

        Raises:
            UsageError: ``ws`` has another shape.
            NonFiniteImageError: an image holds NaN or infinity; the first layer that does is named.
        """
        synthesis = self.generator.synthesis
        branches = [Branch(synthesis, self.styles(ws), noise_source(noise, noise_seed))]
        return finite(walk(branches)[0].image, branches)

    def discriminate(self, images: Tensor | ArrayLike, label: Tensor | None = None) -> Tensor:
        """Logits [N, 1] for ``images`` [N, C, H, W], -1 to 1.

        Raises:
            UsageError: the model's file holds no discriminator.
        """
        if self.discriminator is None:
            raise UsageError("This model's file holds no discriminator.")
        return self.discriminator(as_tensor(images, "images", self.device), label)  # type: ignore[no-any-return]

    def content_hash(self) -> str:
        """SHA-256 of the averaged generator's tensors: what latent files name their model by."""
        return content_hash(self.generator)


def build(config: ModelConfig, *, seed: int = 0) -> Model:
    """Return a model with fresh weights, the same for the same seed; the average starts as a copy of the generator.

    Layers that normalise by running statistics start with those of some images: untouched ones would saturate.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        raw, discriminator = Generator(config), Discriminator(config)
        averaged = Generator(config)
        if config.synthesis.layer == "self_modulated":
            _calibrate(raw)
    averaged.load_state_dict(raw.state_dict())
    return Model(config=config, generator=averaged, discriminator=discriminator, raw_generator=raw)


@torch.no_grad()
def _calibrate(generator: Generator) -> None:
    """Set running statistics to those of a few generated images."""
    config = generator.config
    classes = torch.arange(_CALIBRATION) % max(config.label_dim, 1)
    labels = torch.eye(max(config.label_dim, 1))[classes, : config.label_dim]
    generator.train()
    with tracking(generator.synthesis):
        generator(torch.randn(_CALIBRATION, config.z_dim), labels, noise="none")
    for layer in generator.synthesis.children():
        if isinstance(layer, SelfModulated):
            layer.start_from(layer.observed)


def content_hash(network: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {list(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
