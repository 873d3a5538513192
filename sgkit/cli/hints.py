"""What people type who come from other tools of the field, and what it is called here.

A row is: command (``*``: every one) -> what to use, as the end of a sentence -> options of other tools. Keys of
training are in :mod:`sgkit.config.synonyms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sgkit.config.synonyms import known_as
from sgkit.errors import did_you_mean

_MODEL = "the argument MODEL"
_ROWS: dict[str, dict[str, str]] = {
    "*": {
        _MODEL: "network network_pkl pkl ckpt checkpoint g model_path",
        "--out": "outdir output out_dir output_dir o save_dir outfile",
        "--psi": "trunc truncation truncation_psi psi_trunc",
        "--psi-cutoff": "truncation_cutoff trunc_cutoff",
        "--noise": "noise_mode",
        "--class": "class_idx classes",
        "--batch": "batch_size batchsize minibatch",
        "--precision": "fp16 fp32 bf16 dtype",
        "--device": "gpu",
        "torchrun --nproc-per-node N -m sgkit ...": "gpus num_gpus",
        "--json": "format_json",
        "--seeds": "seed_list",
        "--force": "overwrite yes y",
    },
    "generate": {
        "--seeds": "seed",
        "--latent FILE.npz": "projected_w w latent_file projection",
        "--seeds 0-15 (one image for each seed)": "samples num_samples pics n sample n_sample",
        "--grid COLSxROWS": "cols rows nrow",
        "sgkit interpolate MODEL": "frames video",
    },
    "mix": {
        "--rows": "row_seeds row rows_seeds",
        "--cols": "col_seeds col cols_seeds",
        "--layers, for example coarse or 0-6": "col_styles styles layer",
    },
    "interpolate": {
        "--seeds 0-3 (the keyframes)": "num_keyframes seed",
        "--frames (of the whole animation)": "w_frames steps duration",
    },
    "project": {
        "the argument IMAGE": "target target_fname image input",
        "--steps": "num_steps step iterations",
        "--noise-weight": "regularize_noise_weight noise_regularize",
        "--space w+": "w_plus",
        "--loss pixels and --pixel-weight": "mse",
        "sgkit interpolate; projections are written as images": "save_video",
    },
    "panorama": {"--width": "length resolution size"},
    "metrics": {"the argument MODEL": "real images", "--num-images": "num n_sample num_samples"},
    "prepare": {
        "the argument SOURCE": "source src input",
        "--out": "dest dst",
        "--size": "resolution width height",
        "--crop center or --crop wide": "transform",
        "--limit": "max_images",
        "--filter": "resize_filter resample",
    },
    "convert": {"the argument IN": "source input", "the argument OUT": "dest"},
    "train": {},
}
HINTS: dict[str, dict[str, str]] = {
    command: {word: here for here, words in rows.items() for word in words.split()} for command, rows in _ROWS.items()
}
"""Command -> option of another tool, without dashes -> what to use here."""

_NAMES = {
    "generate": "gen_images generate_images run_generator sample gen",
    "mix": "style_mixing stylemix style_mix",
    "interpolate": "gen_video video animate lerp",
    "project": "projector run_projector invert inversion encode embed",
    "metrics": "calc_metrics run_metrics fid evaluate eval",
    "prepare": "dataset_tool prepare_data create_lmdb dataset",
    "convert": "legacy convert_weight export",
    "train": "run_training training",
    "ui": "visualizer",
}
COMMAND_NAMES = {word: here for here, words in _NAMES.items() for word in words.split()}
"""Script of another tool, without its extension -> command here."""


def command_hint(name: str, known: Sequence[str]) -> str | None:
    """The command that does what a script of another tool does; ``None``: not known."""
    here = COMMAND_NAMES.get(_plain(name.removesuffix(".py")))
    return here if here in known else None


def option_message(option: str, command: Any, path: str, args: Sequence[str]) -> str:
    """What to say of an unknown ``option`` of ``command``, and of all unknown ones in ``args`` that other tools have.

    Args:
        option: as it was typed, without its value.
        command: what Typer made of the command.
        path: how it is called, without ``sgkit``: ``data info``.
        args: all words of the line.
    """
    own = [word for one in command.params for word in (*one.opts, *one.secondary_opts) if word.startswith("-")]
    foreign = {option: _answer(option, path, own)}
    for word in (word.partition("=")[0] for word in args if word.startswith("--")):
        if word not in own:
            foreign.setdefault(word, _answer(word, path, own))
    answers = {word: answer for word, answer in foreign.items() if answer}
    if option not in answers:
        return f"No such option: {option}. {did_you_mean(option, own)}"
    if len(answers) == 1:
        return f"No such option: {option}. Use {answers[option]}."
    said = ", ".join(f"{word} is {answer}" for word, answer in answers.items())
    return f"No such options here: {', '.join(answers)}. In sgkit, {said}."


def _answer(option: str, path: str, own: Sequence[str]) -> str | None:
    """What ``option`` is called here; ``None``: not known, or not something of this command."""
    word = _plain(option)
    special = HINTS.get(path, {}).get(word)
    if special:
        return special
    if path == "train":
        here = known_as(option)
        keys = " (keys are set with --set KEY=VALUE)" if here and here.startswith(("train.", "model.")) else ""
        return None if here is None else f"{here}{keys}"
    here = HINTS["*"].get(word)
    return here if here and (here.split()[0] in own or not here.startswith("--")) else None


def _plain(word: str) -> str:
    return word.lstrip("-").lower().replace("-", "_")
