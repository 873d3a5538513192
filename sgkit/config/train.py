"""Configuration of a training run: the recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sgkit.config.augment import AugmentConfig
from sgkit.config.base import LARGEST, Config, require, require_each

LossName = Literal["nonsaturating", "saturating", "wgan", "hinge", "relativistic"]
MOST_KIMG = 1e9
MOST_IMAGES = 1 << 16
"""In one step."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class GrowthConfig(Config):
    """Progressive growing (ProGAN, section 2): each resolution is faded in, then trained for a while."""

    start_resolution: int = 8
    stable_kimg: float = 600.0
    """Thousands of images at each resolution with nothing fading."""
    fade_kimg: float = 600.0
    """Thousands of images that fade in the next resolution."""
    batches: tuple[int, ...] = ()
    """Images per step at resolution 4, 8, 16 ...; the last number holds from there on. Empty: ``batch`` throughout."""
    lr_factors: tuple[float, ...] = ()
    """What multiplies both learning rates at resolution 4, 8, 16 ..., likewise. Empty: 1 throughout."""
    reset_optimizers: bool = True
    """Forget the optimizers' moments whenever a fade begins or ends."""
    ema_rampup: float | None = 0.05
    """Bound of the moving average's half-life: a fraction of the images shown since the newest layers came; ``None``:
    no bound, as in the papers, whose phases are 120 times as long as the half-life."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "start_resolution": 1 << 16,
        "stable_kimg": MOST_KIMG,
        "fade_kimg": MOST_KIMG,
        "batches": MOST_IMAGES,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        start = self.start_resolution
        require(start >= 4 and start & (start - 1) == 0, "start_resolution", start, "4, 8, 16, 32 ...")
        for name in ("stable_kimg", "fade_kimg"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(self.stable_kimg + self.fade_kimg > 0, "fade_kimg", self.fade_kimg, "above 0, or stable_kimg is")
        require(min(self.batches, default=1) >= 1, "batches", self.batches, "1 or more each")
        rampup = self.ema_rampup
        require(rampup is None or rampup >= 0, "ema_rampup", rampup, "0 or more, or none")
        require(min(self.lr_factors, default=1) > 0, "lr_factors", self.lr_factors, "above 0 each")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """A training recipe. Lengths and intervals of time are counted in thousands of images shown to D (kimg)."""

    total_kimg: float = 25000.0
    batch: int = 32
    """Images per step over all processes."""
    micro_batch: int | None = None
    """Images held in memory at once per process; the batch is accumulated. ``None``: the process's whole share."""
    growth: GrowthConfig | None = None
    """Given exactly when the networks grow."""

    loss: LossName = "nonsaturating"
    """The game: logistic with non-saturating (Goodfellow et al. 2014) or saturating generator, Wasserstein (Arjovsky et
    al. 2017), hinge (Lim and Ye 2017), relativistic pairs (Jolicoeur-Martineau 2018)."""
    class_weight: float = 1.0
    """Cross entropy of classes in both losses, where D has class outputs (label mode ``auxiliary``)."""
    drift_weight: float = 0.0
    """Pulls D's outputs on real images to 0 (ProGAN, appendix A.1: 0.001)."""
    r1_gamma: float = 10.0
    """Penalty on D's gradient at real images (Mescheder et al. 2018)."""
    r2_gamma: float = 0.0
    """The same at generated images."""
    gp_weight: float = 0.0
    """Pulls the norm of D's gradient between real and generated images to 1 (Gulrajani et al. 2017)."""
    d_reg_interval: int = 16
    """Steps between these penalties (lazy regularization, StyleGAN2 section 3.1). 1: as a part of each step's loss."""
    pl_weight: float = 2.0
    """Path length regularization; 0 switches it off."""
    pl_interval: int = 4
    """Steps between its applications. 1: as a part of each step's loss."""
    pl_decay: float = 0.01
    pl_batch_shrink: int = 2
    style_mixing_prob: float = 0.9
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """What images go through on their way to D."""
    d_blur_sigma: float = 0.0
    """Width sigma in pixels of a blur ``2 ** -(x / sigma) ** 2`` of what D sees at the start (StyleGAN3, config R)."""
    d_blur_kimg: float = 200.0
    """Thousands of images over which that blur fades."""

    g_lr: float = 0.002
    d_lr: float = 0.002
    adam_betas: tuple[float, float] = (0.0, 0.99)
    adam_eps: float = 1e-8
    lazy_scaling: Literal["applied", "always"] = "applied"
    """Which optimizers get the learning rate and betas of lazy regularization (StyleGAN2, appendix B): those whose
    network is regularized (``applied``), or both, whatever the weights (``always``: NVIDIA's StyleGAN2, ADA and
    StyleGAN3). An interval of 1 is never lazy."""
    ema_kimg: float = 10.0
    """Half-life of the generator's moving average."""
    ema_rampup: float | None = None
    """Limit the half-life to this fraction of the images shown so far; ``None``: no ramp."""
    ema_decay: float | None = None
    """Decay of the moving average in every step, in place of a half-life (ProGAN: 0.999); ``None``: by half-life."""

    freeze_d: int = 0
    """So many layers of D, counted from the image, keep their weights (Freeze-D, Mo et al. 2020)."""
    freeze_mapping: bool = False
    """The mapping network keeps its weights."""
    freeze_affine: bool = False
    """The layers that make styles from w keep their weights: networks trained so share a style space."""

    mirror: bool = False
    """Flip half of the images left to right."""
    seed: int = 0
    precision: Precision = "auto"
    reduced_resolutions: int | None = None
    """bf16 and fp16 only in so many of the highest resolutions (ADA: 4); ``None``: in all."""
    recompute: bool = False
    """Compute activations again on the way back instead of keeping them: less memory, more time."""
    compile: bool = False
    """Compile the networks for the parts of a step that need first derivatives only."""
    snapshot_kimg: float = 50.0
    """Images between snapshots and sample grids."""
    log_kimg: float = 1.0
    """Images between lines of the log."""
    num_workers: int = 1
    """Processes that decode images; 0: in the training process."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "total_kimg": MOST_KIMG,
        "batch": MOST_IMAGES,
        "micro_batch": MOST_IMAGES,
        "d_reg_interval": MOST_KIMG,
        "pl_interval": MOST_KIMG,
        "pl_decay": 1,
        "pl_batch_shrink": MOST_IMAGES,
        "d_blur_sigma": 1024,
        "d_blur_kimg": MOST_KIMG,
        "ema_kimg": MOST_KIMG,
        "freeze_d": 1024,
        "seed": LARGEST,
        "reduced_resolutions": 64,
        "snapshot_kimg": MOST_KIMG,
        "log_kimg": MOST_KIMG,
        "num_workers": 256,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_each(self, ("seed", "pl_decay", "ema_rampup"), least=0)
        require_each(self, ("snapshot_kimg", "log_kimg"), least=0.001)
        require(all(0 <= beta < 1 for beta in self.adam_betas), "adam_betas", self.adam_betas, "0 or more, and below 1")
        for name in ("total_kimg", "g_lr", "d_lr", "adam_eps", "snapshot_kimg", "log_kimg", "d_blur_kimg"):
            require(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        for name in ("batch", "d_reg_interval", "pl_interval", "pl_batch_shrink"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in (
            *("r1_gamma", "r2_gamma", "gp_weight", "drift_weight", "class_weight", "pl_weight"),
            *("d_blur_sigma", "ema_kimg", "freeze_d", "num_workers"),
        ):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(0 <= self.style_mixing_prob <= 1, "style_mixing_prob", self.style_mixing_prob, "between 0 and 1")
        decay = self.ema_decay
        require(decay is None or 0 <= decay <= 1, "ema_decay", decay, "between 0 and 1, or none")
        for name in ("micro_batch", "reduced_resolutions"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "1 or more, or none")

    @property
    def penalizes_d(self) -> bool:
        """Whether D's gradient is penalized at all."""
        return self.r1_gamma > 0 or self.r2_gamma > 0 or self.gp_weight > 0
