"""What other tools of the field call the options and keys of training."""

from __future__ import annotations

_HERE = {
    "train.r1_gamma": "gamma r1",
    "train.g_lr and train.d_lr": "lr learning_rate",
    "train.g_lr": "glr",
    "train.d_lr": "dlr",
    "train.batch (--batch)": "batch_size batchsize minibatch",
    "train.micro_batch (or --memory)": "batch_gpu",
    "train.total_kimg (--kimg)": "kimg",
    "train.total_kimg (--kimg): thousands of images, not steps": "iter iterations max_iter",
    "train.total_kimg (--kimg): thousands of images, not epochs": "epochs",
    "train.snapshot_kimg: thousands of images between snapshots": "snap save_every",
    "train.log_kimg: thousands of images between lines of the log": "tick",
    "--preset": "cfg",
    "--config FILE, or --preset": "config",
    "train.augment.kind (--augment)": "aug augment",
    "train.augment.pipe": "augpipe",
    "train.augment.p": "augment_p",
    "train.augment.target": "ada_target",
    "train.augment.kimg": "ada_length",
    "train.mirror (--mirror)": "mirror xflip",
    "train.style_mixing_prob": "mixing style_mixing",
    "train.num_workers": "workers n_workers",
    "model.synthesis.channel_base and model.discriminator.channel_base": "cbase channel_multiplier",
    "model.synthesis.channel_max and model.discriminator.channel_max": "cmax",
    "model.mapping.num_layers": "map_depth n_mlp",
    "model.discriminator.mbstd_group_size": "mbstd_group",
    "train.freeze_d": "freezed freeze",
    "train.d_reg_interval": "d_reg_every",
    "train.pl_interval": "g_reg_every",
    "train.pl_weight": "path_regularize pl",
    "train.ema_kimg": "ema",
    "train.precision (--precision)": "fp16 fp32 bf16",
    "train.adam_betas=0,0.99": "beta1 beta2 betas",
    "a store of that size: sgkit prepare IMAGES --out STORE --size N": "resolution size img_size",
    "a store with labels (sgkit prepare --labels), or model.label_dim=0 to train without": "cond",
    "torchrun --nproc-per-node N -m sgkit train ...": "gpus",
    "--out": "outdir",
    "the argument STORE": "data dataset",
    "--init MODEL for the weights of a model, or --resume to continue a run": "resume_from",
    "--init MODEL": "pretrained transfer",
}
SYNONYMS = {word: here for here, words in _HERE.items() for word in words.split()}
"""What other tools call a key -> what it is here."""


def known_as(name: str) -> str | None:
    """What an option or the last part of a key of another tool is here, in words; ``None``: not known."""
    return SYNONYMS.get(name.rpartition(".")[2].lstrip("-").lower().replace("-", "_"))
