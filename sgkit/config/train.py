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
    """Images per step at resolution 4, 8, 16 ...; the last number holds from there on. Empty: ``batch`` throughout."""
    lr_factors: tuple[Positive, ...] = ()
    """What multiplies both learning rates at resolution 4, 8, 16 ..., likewise. Empty: 1 throughout."""
    reset_optimizers: bool = True
    """Forget the optimizers' moments whenever a fade begins or ends."""
    ema_rampup: Weight | None = 0.05
    """Bound of the moving average's half-life: a fraction of the images shown since the newest layers came; ``None``:
    no bound, as in the papers, whose phases are 120 times as long as the half-life."""

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
    """Given exactly when the networks grow."""

    loss: LossName = "nonsaturating"
    """The game: logistic with non-saturating (Goodfellow et al. 2014) or saturating generator, Wasserstein (Arjovsky et
    al. 2017), hinge (Lim and Ye 2017), relativistic pairs (Jolicoeur-Martineau 2018)."""
    class_weight: Weight = 1.0
    """Cross entropy of classes in both losses, where D has class outputs (label mode ``auxiliary``)."""
    drift_weight: Weight = 0.0
    """Pulls D's outputs on real images to 0 (ProGAN, appendix A.1: 0.001)."""
    r1_gamma: Weight = 10.0
    """Penalty on D's gradient at real images (Mescheder et al. 2018)."""
    r2_gamma: Weight = 0.0
    """The same at generated images."""
    gp_weight: Weight = 0.0
    """Pulls the norm of D's gradient between real and generated images to 1 (Gulrajani et al. 2017)."""
    d_reg_interval: Steps = 16
    """Steps between these penalties (lazy regularization, StyleGAN2 section 3.1). 1: as a part of each step's loss."""
    pl_weight: Weight = 2.0
    """Path length regularization; 0 switches it off."""
    pl_interval: Steps = 4
    """Steps between its applications. 1: as a part of each step's loss."""
    pl_decay: Share = 0.01
    pl_batch_shrink: Images = 2
    style_mixing_prob: Share = 0.9
    augment: AugmentConfig = AugmentConfig()
    """What images go through on their way to D."""
    d_blur_sigma: Annotated[float, Field(ge=0, le=1024)] = 0.0
    """Width sigma in pixels of a blur ``2 ** -(x / sigma) ** 2`` of what D sees at the start (StyleGAN3, config R)."""
    d_blur_kimg: Kimg = 200.0
    """Thousands of images over which that blur fades."""

    g_lr: Positive = 0.002
    d_lr: Positive = 0.002
    adam_betas: tuple[_Beta, _Beta] = (0.0, 0.99)
    adam_eps: Positive = 1e-8
    lazy_scaling: Literal["applied", "always"] = "applied"
    """Which optimizers get the learning rate and betas of lazy regularization (StyleGAN2, appendix B): those whose
    network is regularized (``applied``), or both, whatever the weights (``always``: NVIDIA's StyleGAN2, ADA and
    StyleGAN3). An interval of 1 is never lazy."""
    ema_kimg: _Length = 10.0
    """Half-life of the generator's moving average."""
    ema_rampup: Weight | None = None
    """Limit the half-life to this fraction of the images shown so far; ``None``: no ramp."""
    ema_decay: Share | None = None
    """Decay of the moving average in every step, in place of a half-life (ProGAN: 0.999); ``None``: by half-life."""

    freeze_d: Annotated[int, Field(ge=0, le=1024)] = 0
    """So many layers of D, counted from the image, keep their weights (Freeze-D, Mo et al. 2020)."""
    freeze_mapping: bool = False
    """The mapping network keeps its weights."""
    freeze_affine: bool = False
    """The layers that make styles from w keep their weights: networks trained so share a style space."""

    mirror: bool = False
    """Flip half of the images left to right."""
    seed: Count = 0
    precision: Precision = "auto"
    reduced_resolutions: Annotated[int, Field(ge=1, le=64)] | None = None
    """bf16 and fp16 only in so many of the highest resolutions (ADA: 4); ``None``: in all."""
    recompute: bool = False
    """Compute activations again on the way back instead of keeping them: less memory, more time."""
    compile: bool = False
    """Compile the networks for the parts of a step that need first derivatives only."""
    snapshot_kimg: _Interval = 50.0
    """Images between snapshots and sample grids."""
    log_kimg: _Interval = 1.0
    """Images between lines of the log."""
    num_workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Processes that decode images; 0: in the training process."""

    @property
    def penalizes_d(self) -> bool:
        """Whether D's gradient is penalized at all."""
        return self.r1_gamma > 0 or self.r2_gamma > 0 or self.gp_weight > 0
