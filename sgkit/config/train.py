"""Configuration of a training run: the recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.augment import AugmentConfig
from sgkit.config.base import Config, Count, Kimg, Positive, Share, Weight
from sgkit.config.words import LossName, Precision

Images = Annotated[int, Field(ge=1, le=1 << 16)]
"""In one step."""
Steps = Annotated[int, Field(ge=1, le=10**9)]
_Length = Annotated[float, Field(ge=0, le=1e9)]
_Interval = Annotated[float, Field(ge=0.001, le=1e9)]
_Beta = Annotated[float, Field(ge=0, lt=1)]


class GrowthConfig(Config):
    """Progressive growing (ProGAN, section 2): each resolution is faded in, then trained for a while."""

    start_resolution: Annotated[int, Field(ge=4, le=1 << 16)] = 8
    stable_kimg: _Length = 600.0
    """Thousands of images at each resolution with nothing fading."""
    fade_kimg: _Length = 600.0
    """Thousands of images that fade in the next resolution."""
    batches: tuple[Images, ...] = ()
    """Images per step at resolution 4, 8, 16 ...; the last number is for all others. Empty: ``batch`` throughout."""
    lr_factors: tuple[Positive, ...] = ()
    """Factor on both learning rates at resolution 4, 8, 16 ..., likewise. Empty: 1 throughout."""
    reset_optimizers: bool = True
    """Reset the optimizers' moments whenever a fade begins or ends."""
    ema_rampup: Weight | None = 0.05
    """Limit the half-life of the moving average to this fraction of the images shown since the newest layers were
    added; ``None``: no limit, as in the papers, whose phases are 120 times as long as the half-life."""

    def __post_init__(self) -> None:
        self.require(self.start_resolution.bit_count() == 1, "start_resolution", "4, 8, 16, 32 ...")
        self.require(self.stable_kimg + self.fade_kimg > 0, "fade_kimg", "above 0 when stable_kimg is 0")


class TrainConfig(Config):
    """A training recipe. Lengths and intervals of time are counted in thousands of images shown to D (kimg)."""

    total_kimg: Kimg = 25000.0
    batch: Images = 32
    """Images per step over all processes."""
    micro_batch: Images | None = None
    """Images held in memory at once per process; the batch is accumulated. ``None``: the process's whole share."""
    growth: GrowthConfig | None = None
    """Required when the networks grow; otherwise ``None``."""

    loss: LossName = "nonsaturating"
    """Adversarial loss: logistic with non-saturating (Goodfellow et al. 2014) or saturating generator, Wasserstein
    (Arjovsky et al. 2017), hinge (Lim and Ye 2017), relativistic pairing (Jolicoeur-Martineau 2018)."""
    class_weight: Weight = 1.0
    """Weight of the cross entropy of classes in both losses, if D has class outputs (label mode ``auxiliary``)."""
    drift_weight: Weight = 0.0
    """Weight of the squared outputs of D on real images (ProGAN, appendix A.1: 0.001)."""
    r1_gamma: Weight = 10.0
    """Weight of the penalty on D's gradient at real images (Mescheder et al. 2018)."""
    r2_gamma: Weight = 0.0
    """The same for generated images."""
    gp_weight: Weight = 0.0
    """Weight of the penalty that keeps the norm of D's gradient between real and generated images near 1 (Gulrajani et
    al. 2017)."""
    d_reg_interval: Steps = 16
    """Steps between these penalties (lazy regularization, StyleGAN2 section 3.1). 1: part of every step's loss."""
    pl_weight: Weight = 2.0
    """Weight of path length regularization; 0 turns it off."""
    pl_interval: Steps = 4
    """Steps between its applications. 1: part of every step's loss."""
    pl_decay: Share = 0.01
    pl_batch_shrink: Images = 2
    style_mixing_prob: Share = 0.9
    augment: AugmentConfig = AugmentConfig()
    """Augmentation of the images that D sees."""
    d_blur_sigma: Annotated[float, Field(ge=0, le=1024)] = 0.0
    """Width sigma in pixels of the blur ``2 ** -(x / sigma) ** 2`` of D's images at the start (StyleGAN3, config R)."""
    d_blur_kimg: Kimg = 200.0
    """Thousands of images over which this blur fades out."""

    g_lr: Positive = 0.002
    d_lr: Positive = 0.002
    noise_lr_factor: Positive = 1.0
    """Learning rate of the strengths of G's noise inputs, as a multiple of ``g_lr``."""
    adam_betas: tuple[_Beta, _Beta] = (0.0, 0.99)
    adam_eps: Positive = 1e-8
    lazy_scaling: Literal["applied", "always"] = "applied"
    """Which optimizers use the learning rate and betas of lazy regularization (StyleGAN2, appendix B): those whose
    network is regularized (``applied``), or both, whatever the weights (``always``: NVIDIA's StyleGAN2, ADA and
    StyleGAN3). An interval of 1 is never lazy."""
    ema_kimg: _Length = 10.0
    """Half-life of the generator's moving average."""
    ema_rampup: Weight | None = None
    """Limit the half-life to this fraction of the images shown so far; ``None``: no ramp."""
    ema_decay: Share | None = None
    """Decay of the moving average per step, instead of a half-life (ProGAN: 0.999); ``None``: use ``ema_kimg``."""

    freeze_d: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of D's layers, counted from the image, whose weights are frozen (Freeze-D, Mo et al. 2020)."""
    freeze_mapping: bool = False
    """Freeze the weights of the mapping network."""
    freeze_affine: bool = False
    """Freeze the affine layers from w to styles; networks trained this way share a style space."""

    mirror: bool = False
    """Flip half of the images left to right."""
    seed: Count = 0
    precision: Precision = "auto"
    reduced_resolutions: Annotated[int, Field(ge=1, le=64)] | None = None
    """Number of highest resolutions that use bf16 or fp16 (ADA: 4); ``None``: all."""
    recompute: bool = False
    """Recompute activations in the backward pass instead of storing them: less memory, more time."""
    compile: bool = False
    """Compile the networks for the parts of a step that need only first derivatives."""
    cuda_graphs: Literal["auto", "off"] = "auto"
    """Record the updates of a step as CUDA graphs, which start faster; where that is not possible (fp16, several
    processes, what ada changes) they run one operation after the other. The numbers are the same."""
    snapshot_kimg: _Interval = 50.0
    """Thousands of images between snapshots and sample grids."""
    log_kimg: _Interval = 1.0
    """Thousands of images between lines of the log."""
    num_workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Number of processes that decode images; 0: decode in the training process."""

    @property
    def penalizes_d(self) -> bool:
        """Whether D's gradient is penalized at all."""
        return self.r1_gamma > 0 or self.r2_gamma > 0 or self.gp_weight > 0
