"""What to say to people who come from other tools, or do not know yet what to choose."""

from __future__ import annotations

from sgkit.store import StoreDataset
from sgkit.store.header import size_text

__all__ = ["SYNONYMS", "recommendation"]

SYNONYMS = {
    "gamma": "train.r1_gamma",
    "r1": "train.r1_gamma",
    "lr": "train.g_lr and train.d_lr",
    "learning_rate": "train.g_lr and train.d_lr",
    "glr": "train.g_lr",
    "dlr": "train.d_lr",
    "batch_size": "train.batch (--batch)",
    "batchsize": "train.batch (--batch)",
    "minibatch": "train.batch (--batch)",
    "batch_gpu": "train.micro_batch (or --memory)",
    "kimg": "train.total_kimg (--kimg)",
    "iter": "train.total_kimg (--kimg): thousands of images, not steps",
    "iterations": "train.total_kimg (--kimg): thousands of images, not steps",
    "max_iter": "train.total_kimg (--kimg): thousands of images, not steps",
    "epochs": "train.total_kimg (--kimg): thousands of images, not epochs",
    "snap": "train.snapshot_kimg: thousands of images between snapshots",
    "save_every": "train.snapshot_kimg: thousands of images between snapshots",
    "tick": "train.log_kimg: thousands of images between lines of the log",
    "cfg": "--preset",
    "config": "--config FILE, or --preset",
    "aug": "train.augment.kind (--augment)",
    "augment": "train.augment.kind (--augment)",
    "augpipe": "train.augment.pipe",
    "augment_p": "train.augment.p",
    "ada_target": "train.augment.target",
    "ada_length": "train.augment.kimg",
    "mirror": "train.mirror (--mirror)",
    "xflip": "train.mirror (--mirror)",
    "mixing": "train.style_mixing_prob",
    "style_mixing": "train.style_mixing_prob",
    "workers": "train.num_workers",
    "n_workers": "train.num_workers",
    "cbase": "model.synthesis.channel_base and model.discriminator.channel_base",
    "cmax": "model.synthesis.channel_max and model.discriminator.channel_max",
    "channel_multiplier": "model.synthesis.channel_base and model.discriminator.channel_base",
    "map_depth": "model.mapping.num_layers",
    "n_mlp": "model.mapping.num_layers",
    "mbstd_group": "model.discriminator.mbstd_group_size",
    "freezed": "train.freeze_d",
    "freeze": "train.freeze_d",
    "d_reg_every": "train.d_reg_interval",
    "g_reg_every": "train.pl_interval",
    "path_regularize": "train.pl_weight",
    "pl": "train.pl_weight",
    "ema": "train.ema_kimg",
    "fp16": "train.precision (--precision)",
    "fp32": "train.precision (--precision)",
    "bf16": "train.precision (--precision)",
    "beta1": "train.adam_betas=0,0.99",
    "beta2": "train.adam_betas=0,0.99",
    "betas": "train.adam_betas=0,0.99",
    "resolution": "a store of that size: sgkit prepare IMAGES --out STORE --size N",
    "size": "a store of that size: sgkit prepare IMAGES --out STORE --size N",
    "img_size": "a store of that size: sgkit prepare IMAGES --out STORE --size N",
    "cond": "a store with labels (sgkit prepare --labels), or model.label_dim=0 to train without",
    "gpus": "torchrun --nproc-per-node N -m sgkit train ...",
    "outdir": "--out",
    "data": "the argument STORE",
    "dataset": "the argument STORE",
    "resume_from": "--init MODEL for the weights of a model, or --resume to continue a run",
    "pretrained": "--init MODEL",
    "transfer": "--init MODEL",
}
"""What other tools call a key -> what it is here."""

SMALL, MEDIUM = 32, 64
"""Pixels up to which the presets for CPUs are made."""
FEW = 20_000
"""Images below which a discriminator learns them by heart."""


def recommendation(dataset: StoreDataset, *, device: str) -> str:
    """Sentences that recommend a preset for the images on a kind of device (``cpu``, ``cuda`` ...)."""
    height, width = dataset.image_size
    few = len(dataset) < FEW
    if device != "cpu":
        name = "ada-auto" if few else "stylegan2-f"
    else:
        side = max(height, width)
        name = "stylegan2-mini" if side <= SMALL else "stylegan2-64"
    augment = " with --augment ada" if few and name != "ada-auto" else ""
    images = f"{len(dataset):,} images of {size_text(dataset.image_size)} on {'a CPU' if device == 'cpu' else device}"
    slow = ""
    if device == "cpu" and max(height, width) > MEDIUM:
        slow = f" On a CPU, images above {MEDIUM} pixels take days: smaller ones are a better start."
    return f"For {images}: --preset {name}{augment}.{slow} All presets: sgkit train --list-presets."
