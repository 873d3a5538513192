"""What ``docs/recipes.md`` says: the constants of every preset beside those of its paper and of the official code.

    python tests/docs/recipes.py

writes the page. The column ``sgkit`` is read off the presets; the others are facts, with their sources, kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgkit.config import GrowthConfig, TrainConfig
from sgkit.config.presets import PRESETS, Preset
from sgkit.training.optimizers import is_lazy
from sgkit.training.schedules import lazy_adam

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"

PG, SG1, SG2, ADA, SG3 = (
    "progressive_growing_of_gans",
    "stylegan",
    "stylegan2",
    "stylegan2-ada-pytorch",
    "stylegan3",
)
COMMITS = {
    f"tkarras/{PG}": "c11d7bb",
    f"NVlabs/{SG1}": "51ab882",
    f"NVlabs/{SG2}": "134e3d4",
    f"NVlabs/{ADA}": "172a158",
    f"NVlabs/{SG3}": "96e19bb",
}


@dataclass(frozen=True)
class Row:
    """A constant, or a few that belong together."""

    name: str
    keys: Sequence[str]
    """Dotted keys of the preset, or the names of :data:`DERIVED`; their values stand in this order."""
    code: Any
    """The official code's values in the same form; a mapping from presets to them; ``None``: there is no such code."""
    source: str
    """Where the code says so."""
    paper: Any = None
    """What the paper says, likewise; ``None``: nothing, or only what the code does."""
    why: str = ""
    """Why sgkit differs from one of them."""
    only: Sequence[str] | None = None
    """The presets that it is about; ``None``: all of the section."""


@dataclass(frozen=True)
class Section:
    """Presets of one paper."""

    title: str
    text: str
    presets: Sequence[str]
    rows: Sequence[Row] = field(default_factory=list)


def _rate(player: str) -> Callable[[Preset], float]:
    def of(row: Preset) -> float:
        train = row.train
        lr, applied, interval = {
            "g": (train.g_lr, train.pl_weight > 0, train.pl_interval),
            "d": (train.d_lr, train.penalizes_d, train.d_reg_interval),
        }[player]
        lazy = is_lazy(train, applied=applied, interval=interval)
        return lazy_adam(lr, train.adam_betas, interval=interval if lazy else None)[0]

    return of


DERIVED: Mapping[str, Callable[[Preset], Any]] = {"rate of G": _rate("g"), "rate of D": _rate("d")}

LAZY = "regularizers each 16 and 4 steps scale both rates and betas, whatever the weights"
GROWTH = ("train.growth.start_resolution", "train.growth.stable_kimg", "train.growth.fade_kimg")
FACTORS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 3.0)
ADAM = Row(
    "Adam: betas, epsilon", ("train.adam_betas", "train.adam_eps"), ((0.0, 0.99), 1e-8), "", paper=((0.0, 0.99), 1e-8)
)


def adam(source: str) -> Row:
    return Row(ADAM.name, ADAM.keys, ADAM.code, source, ADAM.paper)


def _letters(name: str, letters: str) -> list[str]:
    return [f"{name}-{letter}" for letter in letters]


TABLE2 = [name for name in PRESETS if name.startswith("stylegan2-e-")]
NO_RAMP = (
    "sgkit's own: bounds the half-life by 5% of the images since the newest layers were added, so that samples of "
    "short schedules show them; none is the official behaviour"
)

SECTIONS = (
    Section(
        "ProGAN",
        "Karras et al. 2018. The preset follows the run of appendix A.1 on CelebA-HQ; the released code starts from "
        "another preset for one GPU, and has that run as `preset-v1-1gpu`.",
        ["progan"],
        [
            Row("loss", ("train.loss",), ("wgan",), f"{PG} config.py:47-48", ("wgan",)),
            Row(
                "gradient penalty, drift",
                ("train.gp_weight", "train.drift_weight", "train.r1_gamma", "train.d_reg_interval"),
                (10.0, 0.001, 0.0, 1),
                f"{PG} loss.py:44-45",
                (10.0, 0.001, 0.0, 1),
            ),
            Row("rates", ("rate of G", "rate of D"), (0.001, 0.001), f"{PG} train.py:96", (0.001, 0.001)),
            Row(
                "factors of the rates at 4, 8, 16 ... px",
                ("train.growth.lr_factors",),
                ((1.0,) * 8 + (1.5,),),
                f"{PG} config.py:100",
                ((),),
                "the paper has one rate throughout",
            ),
            Row(
                "batch at 4, 8, 16 ... px",
                ("train.growth.batches",),
                ((128, 128, 128, 64, 32, 16, 8, 4, 4),),
                f"{PG} config.py:100",
                ((16, 16, 16, 16, 16, 16, 14, 6, 3),),
                "the paper's; as the code's preset-v1-1gpu",
            ),
            Row("batch where no table is given", ("train.batch",), (4,), f"{PG} config.py:100", (16,), "the paper's"),
            Row(
                "start, stable, fade (px, kimg)",
                GROWTH,
                (4, 600.0, 600.0),
                f"{PG} train.py:90-92",
                (4, 800.0, 800.0),
                "the paper's; as the code's preset-v1-1gpu",
            ),
            Row("kimg", ("train.total_kimg",), (12000.0,), f"{PG} config.py:100", None, "preset-v1-1gpu: 19000"),
            Row(
                "average of G: decay per step, ramps",
                ("train.ema_decay", "train.ema_rampup", "train.growth.ema_rampup"),
                (0.999, None, None),
                f"{PG} train.py:134",
                (0.999, None, None),
            ),
            Row(
                "group of the minibatch deviation",
                ("model.discriminator.mbstd_group_size",),
                (4,),
                f"{PG} networks.py:243",
                (16,),
                "the paper's groups are the whole batch, at most 16; as preset-v1-1gpu",
            ),
            Row(
                "moments forgotten when a fade begins or ends",
                ("train.growth.reset_optimizers",),
                (True,),
                f"{PG} train.py:137",
            ),
            Row("path lengths, style mixing", ("train.pl_weight", "train.style_mixing_prob"), (0.0, 0.0), "none"),
            adam(f"{PG} config.py:45"),
        ],
    ),
    Section(
        "StyleGAN",
        "Karras et al. 2019, table 1. Config A is ProGAN's network and hyperparameters: those of its released code for "
        "8 GPUs, with which the other configurations share batches and rates.",
        _letters("stylegan1", "abcdef"),
        [
            Row(
                "loss",
                ("train.loss",),
                {"stylegan1-a": ("wgan",), "": ("nonsaturating",)},
                f"{SG1} train.py:27-28, 91-92",
                {"stylegan1-a": ("wgan",), "": ("nonsaturating",)},
            ),
            Row(
                "R1, gradient penalty, drift, interval",
                ("train.r1_gamma", "train.gp_weight", "train.drift_weight", "train.d_reg_interval"),
                {"stylegan1-a": (0.0, 10.0, 0.001, 1), "": (10.0, 0.0, 0.0, 1)},
                f"{SG1} train.py:28, 92",
                {"stylegan1-a": (0.0, 10.0, 0.001, 1), "": (10.0, 0.0, 0.0, 1)},
            ),
            Row("rates", ("rate of G", "rate of D"), (0.001, 0.001), f"{SG1} training_loop.py:65", (0.001, 0.001)),
            Row(
                "factors of the rates at 4, 8, 16 ... px",
                ("train.growth.lr_factors",),
                (FACTORS,),
                f"{SG1} train.py:54; {PG} config.py:103",
            ),
            Row(
                "batch at 4, 8, 16 ... px",
                ("train.growth.batches",),
                ((512, 256, 128, 64, 32),),
                f"{SG1} train.py:49; {PG} config.py:103",
            ),
            Row(
                "start, stable, fade (px, kimg)",
                GROWTH,
                {"stylegan1-a": (4, 600.0, 600.0), "": (8, 600.0, 600.0)},
                f"{SG1} train.py:53, training_loop.py:60-61; {PG} train.py:90-92",
                {"stylegan1-a": (4, 600.0, 600.0), "": (8, 600.0, 600.0)},
            ),
            Row(
                "kimg",
                ("train.total_kimg",),
                {"stylegan1-a": (12000.0,), "": (25000.0,)},
                f"{SG1} train.py:52; {PG} config.py:103",
                {"stylegan1-a": (12000.0,), "": (25000.0,)},
            ),
            Row(
                "average of G: half-life (kimg), or decay per step",
                ("train.ema_kimg", "train.ema_decay"),
                {"stylegan1-a": (10.0, 0.999), "": (10.0, None)},
                f"{SG1} training_loop.py:125; {PG} train.py:134",
            ),
            Row(
                "ramps of the average",
                ("train.ema_rampup", "train.growth.ema_rampup"),
                (None, None),
                f"{SG1} training_loop.py:125",
                why=NO_RAMP,
            ),
            Row(
                "style mixing",
                ("train.style_mixing_prob",),
                {"stylegan1-f": (0.9,), "": (0.0,)},
                f"{SG1} networks_stylegan.py:310, train.py:61-65; over the layers grown so far: :361",
                {"stylegan1-f": (0.9,), "": (0.0,)},
            ),
            Row(
                "mean of w, mapping layers",
                ("model.mapping.w_avg_beta", "model.mapping.num_layers"),
                (0.995, 8),
                f"{SG1} networks_stylegan.py:309, 391",
                only=_letters("stylegan1", "cdef"),
            ),
            Row(
                "group of the minibatch deviation",
                ("model.discriminator.mbstd_group_size",),
                (4,),
                f"{SG1} networks_stylegan.py:575; {PG} networks.py:243",
            ),
            Row(
                "moments forgotten when a fade begins or ends",
                ("train.growth.reset_optimizers",),
                (True,),
                f"{SG1} training_loop.py:128",
            ),
            Row("path lengths", ("train.pl_weight",), (0.0,), "none"),
            adam(f"{SG1} train.py:25"),
        ],
    ),
    Section(
        "StyleGAN2",
        "Karras et al. 2020, tables 1 and 2, and appendix B.",
        [*_letters("stylegan2", "abcdef"), *TABLE2],
        [
            Row("loss", ("train.loss",), ("nonsaturating",), f"{SG2} run_training.py:43-44", ("nonsaturating",)),
            Row(
                "R1, interval",
                ("train.r1_gamma", "train.d_reg_interval"),
                {
                    **dict.fromkeys(_letters("stylegan2", "ab"), (10.0, 1)),
                    **dict.fromkeys(_letters("stylegan2", "cdf"), (10.0, 16)),
                    "": (100.0, 16),
                },
                f"{SG2} run_training.py:56, 76, 102, training_loop.py:122",
                {
                    **dict.fromkeys(_letters("stylegan2", "ab"), (10.0, 1)),
                    **dict.fromkeys(_letters("stylegan2", "cdf"), (10.0, 16)),
                    "": (100.0, 16),
                },
            ),
            Row(
                "path lengths: weight",
                ("train.pl_weight",),
                {**dict.fromkeys(_letters("stylegan2", "abc"), (0.0,)), "": (2.0,)},
                f"{SG2} run_training.py:98, loss.py:148",
            ),
            Row(
                "path lengths: interval, decay, shrink",
                ("train.pl_interval", "train.pl_decay", "train.pl_batch_shrink"),
                (4, 0.01, 2),
                f"{SG2} training_loop.py:121, loss.py:148",
                (8, 0.01, 2),
                "the code's interval; appendix B has 8",
                only=["stylegan2-d", "stylegan2-e", "stylegan2-f", *TABLE2],
            ),
            Row(
                "rates",
                ("rate of G", "rate of D"),
                {
                    **dict.fromkeys(_letters("stylegan2", "ab"), (0.001, 0.001)),
                    **dict.fromkeys(_letters("stylegan2", "cd"), (0.001 * 4 / 5, 0.001 * 16 / 17)),
                    "": (0.002 * 4 / 5, 0.002 * 16 / 17),
                },
                f"{SG2} run_training.py:53, 87, 102; {LAZY}: training_loop.py:182",
            ),
            Row(
                "lazy scaling",
                ("train.lazy_scaling",),
                {**dict.fromkeys(_letters("stylegan2", "ab"), ("applied",)), "": ("always",)},
                f"{SG2} run_training.py:102, training_loop.py:178-186",
            ),
            Row(
                "factors of the rates, batch at 4, 8, 16 ... px",
                ("train.growth.lr_factors", "train.growth.batches"),
                (FACTORS, (32, 256, 128, 64, 32)),
                f"{SG2} run_training.py:88-90",
                (FACTORS, (512, 256, 128, 64, 32)),
                "no run begins at 4 px, so the first batch is never used",
                only=_letters("stylegan2", "abcd"),
            ),
            Row(
                "start, stable, fade (px, kimg)",
                GROWTH,
                (8, 600.0, 600.0),
                f"{SG2} run_training.py:86, training_loop.py:51-52",
                only=_letters("stylegan2", "abcd"),
            ),
            Row("batch", ("train.batch",), (32,), f"{SG2} run_training.py:54", (32,)),
            Row("kimg", ("train.total_kimg",), (25000.0,), f"{SG2} training_loop.py:124", (25000.0,)),
            Row(
                "average of G: half-life (kimg), ramp",
                ("train.ema_kimg", "train.ema_rampup"),
                (10.0, None),
                f"{SG2} training_loop.py:118",
            ),
            Row(
                "ramp of the average after growth",
                ("train.growth.ema_rampup",),
                (None,),
                f"{SG2} training_loop.py:118",
                why=NO_RAMP,
                only=_letters("stylegan2", "abcd"),
            ),
            Row(
                "style mixing",
                ("train.style_mixing_prob",),
                (0.9,),
                f"{SG2} networks_stylegan2.py:159; over the layers grown so far: :215",
                (0.9,),
            ),
            Row(
                "mean of w, mapping layers",
                ("model.mapping.w_avg_beta", "model.mapping.num_layers"),
                (0.995, 8),
                f"{SG2} networks_stylegan2.py:158, 258",
            ),
            Row(
                "channels: base, most",
                ("model.synthesis.channel_base", "model.synthesis.channel_max"),
                {"stylegan2-f": (32768, 512), "": (16384, 512)},
                f"{SG2} run_training.py:72 (`fmap_base` counts from 2 px, so it is half of ours)",
            ),
            Row(
                "group of the minibatch deviation",
                ("model.discriminator.mbstd_group_size",),
                (4,),
                f"{SG2} networks_stylegan2.py:523, 625",
            ),
            adam(f"{SG2} run_training.py:40-41"),
        ],
    ),
    Section(
        "StyleGAN2-ADA",
        "Karras et al. 2020 (ADA). The names are those of `--cfg`. `ada-auto` is shown as for one process at 1024 px; "
        "its batch, R1, average, rates, channels and group follow resolution and number of processes as in the code.",
        [name for name in PRESETS if name.startswith("ada-")],
        [
            Row(
                "batch, group of the minibatch deviation",
                ("train.batch", "model.discriminator.mbstd_group_size"),
                {
                    "ada-auto": (4, 4),
                    "ada-paper256": (64, 8),
                    "ada-paper512": (64, 8),
                    "ada-cifar": (64, 32),
                    "": (32, 4),
                },
                f"{ADA} train.py:155-160, 169-170",
            ),
            Row(
                "R1, interval",
                ("train.r1_gamma", "train.d_reg_interval"),
                {
                    "ada-auto": (0.0002 * 1024**2 / 4, 16),
                    "ada-stylegan2": (10.0, 16),
                    "ada-paper256": (1.0, 16),
                    "ada-paper512": (0.5, 16),
                    "ada-paper1024": (2.0, 16),
                    "ada-cifar": (0.01, 16),
                },
                f"{ADA} train.py:155-160, 173, training_loop.py:107",
            ),
            Row(
                "rates",
                ("rate of G", "rate of D"),
                {
                    **dict.fromkeys(("ada-paper256", "ada-paper512", "ada-cifar"), (0.0025 * 4 / 5, 0.0025 * 16 / 17)),
                    "": (0.002 * 4 / 5, 0.002 * 16 / 17),
                },
                f"{ADA} train.py:155-160, 172; {LAZY}: training_loop.py:200-208",
            ),
            Row("lazy scaling", ("train.lazy_scaling",), ("always",), f"{ADA} training_loop.py:200-208"),
            Row(
                "average of G: half-life (kimg), ramp",
                ("train.ema_kimg", "train.ema_rampup"),
                {
                    "ada-auto": (1.25, 0.05),
                    "ada-paper256": (20.0, None),
                    "ada-paper512": (20.0, None),
                    "ada-cifar": (500.0, 0.05),
                    "": (10.0, None),
                },
                f"{ADA} train.py:155-160, 174",
            ),
            Row(
                "path lengths: weight, interval, decay, shrink",
                ("train.pl_weight", "train.pl_interval", "train.pl_decay", "train.pl_batch_shrink"),
                {"ada-cifar": (0.0, 4, 0.01, 2), "": (2.0, 4, 0.01, 2)},
                f"{ADA} train.py:196, loss.py:24",
            ),
            Row(
                "style mixing",
                ("train.style_mixing_prob",),
                {"ada-cifar": (0.0,), "": (0.9,)},
                f"{ADA} train.py:197, loss.py:24",
            ),
            Row(
                "mean of w, mapping layers",
                ("model.mapping.w_avg_beta", "model.mapping.num_layers"),
                {"ada-auto": (0.995, 2), "ada-cifar": (0.995, 2), "": (0.995, 8)},
                f"{ADA} networks.py:185, train.py:155-160",
            ),
            Row(
                "channels: base, most",
                ("model.synthesis.channel_base", "model.synthesis.channel_max"),
                {"ada-paper256": (16384, 512), "": (32768, 512)},
                f"{ADA} train.py:155-160, 171, 178-179",
            ),
            Row(
                "kimg",
                ("train.total_kimg",),
                {"ada-cifar": (100000.0,), "": (25000.0,)},
                f"{ADA} train.py:155-160",
            ),
            Row(
                "augmentation: kind, target, interval, kimg",
                (
                    "train.augment.kind",
                    "train.augment.target",
                    "train.augment.interval",
                    "train.augment.kimg",
                ),
                ("ada", 0.6, 4, 500.0),
                f"{ADA} train.py:233, training_loop.py:110-111",
            ),
            Row(
                "clamp, low-precision resolutions",
                ("model.synthesis.conv_clamp", "model.discriminator.conv_clamp", "train.reduced_resolutions"),
                (256.0, 256.0, 4),
                f"{ADA} train.py:181-182",
            ),
            adam(f"{ADA} train.py:185-186"),
        ],
    ),
    Section(
        "StyleGAN3",
        "Karras et al. 2021. R1 is 32 at 1024 px, and a quarter of it for each halving, as the table of configurations "
        "in the code's documentation has it; the paper's own runs have other values for each data set. What follows "
        "`--batch` in the code follows it here: the average's half-life, the running magnitudes and the length of the "
        "blur.",
        ["stylegan3-t", "stylegan3-r"],
        [
            Row(
                "R1, interval",
                ("train.r1_gamma", "train.d_reg_interval"),
                (32.0, 16),
                f"{SG3} docs/configs.md, training_loop.py:109",
                (32.8, 16),
                "the recommended table; 32.8 is FFHQ's",
            ),
            Row(
                "rates",
                ("rate of G", "rate of D"),
                (0.0025, 0.002 * 16 / 17),
                f"{SG3} train.py:147-148, 214; G is not lazy: training_loop.py:108",
            ),
            Row(
                "lazy scaling, interval of path lengths",
                ("train.lazy_scaling", "train.pl_interval"),
                ("always", 1),
                f"{SG3} training_loop.py:108",
            ),
            Row(
                "path lengths, style mixing",
                ("train.pl_weight", "train.style_mixing_prob"),
                (0.0, 0.0),
                f"{SG3} loss.py:26",
            ),
            Row("batch", ("train.batch",), (32,), f"{SG3} docs/configs.md", (32,)),
            Row("kimg", ("train.total_kimg",), (25000.0,), f"{SG3} train.py:155", (25000.0,)),
            Row(
                "average of G: half-life (kimg), ramp",
                ("train.ema_kimg", "train.ema_rampup"),
                (32 * 10 / 32, 0.05),
                f"{SG3} train.py:234, training_loop.py:107",
            ),
            Row(
                "running magnitudes",
                ("model.synthesis.alias_free.magnitude_ema_beta",),
                (0.5 ** (32 / 20e3),),
                f"{SG3} train.py:244",
            ),
            Row(
                "blur before D: sigma, kimg",
                ("train.d_blur_sigma", "train.d_blur_kimg"),
                (10.0, 32 * 200 / 32),
                f"{SG3} train.py:250-251; off with --init: :266",
                only=["stylegan3-r"],
            ),
            Row(
                "mean of w, mapping layers",
                ("model.mapping.w_avg_beta", "model.mapping.num_layers"),
                (0.998, 2),
                f"{SG3} networks_stylegan3.py:115-117, train.py:210",
            ),
            Row(
                "layers, critical ones, margin, output scale",
                (
                    "model.synthesis.alias_free.num_layers",
                    "model.synthesis.alias_free.num_critical",
                    "model.synthesis.alias_free.margin",
                    "model.synthesis.alias_free.output_scale",
                ),
                (14, 2, 10, 0.25),
                f"{SG3} networks_stylegan3.py:406-412",
                (14, 2, 10, 0.25),
            ),
            Row(
                "kernel, radial filters, channels of G: base, most",
                (
                    "model.synthesis.alias_free.kernel",
                    "model.synthesis.alias_free.radial_filters",
                    "model.synthesis.channel_base",
                    "model.synthesis.channel_max",
                ),
                {"stylegan3-r": (1, True, 65536, 1024), "": (3, False, 32768, 512)},
                f"{SG3} train.py:245-249",
            ),
            Row(
                "clamp, low-precision resolutions",
                ("model.synthesis.conv_clamp", "model.discriminator.conv_clamp", "train.reduced_resolutions"),
                (256.0, 256.0, 4),
                f"{SG3} networks_stylegan3.py:277, 413",
            ),
            Row(
                "group of the minibatch deviation",
                ("model.discriminator.mbstd_group_size",),
                (4,),
                f"{SG3} train.py:150",
            ),
            Row(
                "augmentation",
                ("train.augment.kind",),
                ("ada",),
                f"{SG3} train.py (--aug)",
                ("none",),
                "the paper's FFHQ runs are without; `--augment ada` adds it",
            ),
            adam(f"{SG3} train.py:192-193"),
        ],
    ),
)

COMMON = """## Differences of every preset

- Style mixing draws a cutoff for each image; the official code draws one for each minibatch of a GPU. The
  probabilities are equal.
- The path length is compared with its running mean before this step, and the mean of w and StyleGAN3's running
  magnitudes move once per step from the whole batch, after it. The official code moves them in each pass of each GPU.
  So the result does not depend on how a batch is split.
- Random numbers are functions of the seed and the image's number, so they differ from those of the official code.
- The ramp of the average counts the images of the step itself; the official code does not.
- Mirrored images are an option (`--mirror`), as in the official code from StyleGAN2 on.

## Presets without official code

`self-modulated` has the layers of Chen et al. 2019 (batch normalisation, hidden layers of 32, epsilon 1e-5) in a
generator of 128 px, with StyleGAN2's discriminator and loss: R1 10 every 16 steps, rate 0.002, no style mixing and
no path lengths. The paper trains other networks, with spectral normalisation or a gradient penalty instead.
`batch-norm` is its baseline: scale and shift are learned and the same for every z.
`stylegan2-64`, `stylegan2-32` and `stylegan2-mini` are StyleGAN2 with fewer channels and without noise, with weaker R1,
rates of 0.0025 (mini: 0.005) and an average with a half-life of 5 kimg and a ramp of 0.05, chosen for CPUs
([trainings of mini](results.md#the-small-presets)).
"""

INTRO = """# Recipes

Training constants of each preset, compared with its paper and the official code. A test takes the column *sgkit* from
the presets, so it is always up to date. A dash means that the paper states no number; *why* explains a difference.
Files are those of these commits, named without their folder `training/`: {commits}. Rates are those given to Adam,
after the scaling for lazy regularization (`lr * k / (k + 1)`, StyleGAN2, appendix B), which scales the betas
in the same way.

"""


def value(row: Preset, key: str) -> Any:
    """The value of a dotted key, or of something derived."""
    if key in DERIVED:
        return DERIVED[key](row)
    found: Any = row
    for part in key.split("."):
        found = getattr(found, part)
    return found


def values(row: Row, name: str) -> tuple[Any, ...]:
    """What the preset ``name`` has."""
    return tuple(value(PRESETS[name], key) for key in row.keys)


def of(facts: Any, name: str) -> tuple[Any, ...] | None:
    """What paper or code has for the preset ``name``."""
    found = facts.get(name, facts.get("")) if isinstance(facts, dict) else facts
    return None if found is None else tuple(found)


def same(one: Any, other: Any) -> bool:
    """Whether two values agree, but for rounding."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, (int, float)):
        return abs(one - other) <= 1e-9 * max(abs(one), abs(other))
    return bool(one == other)


def names(section: Section, row: Row) -> Sequence[str]:
    """The presets that a row is about."""
    return section.presets if row.only is None else row.only


def _shown(given: Any) -> str:
    if given is None:
        return "none"
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, tuple):
        return ", ".join(map(_shown, given)) or "1 throughout"
    return f"{given:.6g}" if isinstance(given, float) else str(given)


def _cell(given: tuple[Any, ...] | None) -> str:
    return "-" if given is None else "; ".join(map(_shown, given))


def _presets(section: Section, chosen: Sequence[str]) -> str:
    if list(chosen) == list(section.presets):
        return "all"
    grid = [name for name in TABLE2 if name in chosen]
    shown = [f"`{name}`" for name in chosen if not (grid == TABLE2 and name in grid)]
    return ", ".join([*shown, *(["`stylegan2-e-g...-d...`"] if grid == TABLE2 else [])])


def _lines(section: Section) -> list[str]:
    lines = ["| constant | presets | sgkit | paper | code | source | why |", "|---|---|---|---|---|---|---|"]
    for row in section.rows:
        groups: dict[str, list[str]] = {}
        for name in names(section, row):
            ours, paper, code = values(row, name), of(row.paper, name), of(row.code, name)
            differs = not same(ours, code) or (paper is not None and not same(ours, paper))
            cells = " | ".join([_cell(ours), _cell(paper), _cell(code), row.source, row.why if differs else ""])
            groups.setdefault(cells, []).append(name)
        lines += [f"| {row.name} | {_presets(section, chosen)} | {cells} |" for cells, chosen in groups.items()]
    return lines


def page() -> str:
    """The whole page."""
    commits = ", ".join(f"[{name}](https://github.com/{name}) {commit}" for name, commit in COMMITS.items())
    parts = [INTRO.format(commits=commits)]
    for section in SECTIONS:
        parts += [f"## {section.title}\n\n{section.text}\n\n", "\n".join(_lines(section)), "\n\n"]
    return "".join([*parts, COMMON])


def special(name: str) -> set[str]:
    """Keys of a preset's recipe that are not the defaults."""
    train = PRESETS[name].train
    own = {
        f"train.{key}"
        for key, default in vars(TrainConfig()).items()
        if getattr(train, key) != default and key not in ("growth", "augment")
    }
    if train.growth is not None:
        grown = vars(GrowthConfig()).items()
        own |= {f"train.growth.{key}" for key, default in grown if getattr(train.growth, key) != default}
    return own


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
