"""An option changes the result, or it is refused: a row for every parameter of every command.

``train`` has its own table. A new parameter without a row fails the first test.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import COMMANDS, load_command, main
from sgkit.config import override
from sgkit.config.presets import preset
from sgkit.errors import UsageError
from sgkit.latents.directions import save_directions, unit
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Model, build

G = "generate plain --out out --seeds 0-1"
M = "mix plain --out a.png --rows 0,1 --cols 2"
I = "interpolate plain --out out --seeds 0-2 --frames 5"  # noqa: E741
P = "project plain photo.png --out out --steps 3"
EN = "encoder train plain --out out.safetensors --kimg 0.016 --batch 8"
TU = "tune plain projected --out out.safetensors --steps 2"
W = "panorama plain --out a.png --seeds 0-2"
ED = "edit plain --out a.png --seeds 0,1 --move w.safetensors:0=1"
DF = "directions find plain --out out.safetensors --samples 20"
DA = "directions apply plain --out out.npz --seeds 0 --move w.safetensors:0=1"
TR = "transfer plain --out a.png --source 0 --reference 1=box:0.2,0.2,0.9,0.9"
CO = f"{TR} --mode collins --clusters 3 --samples 4"
SE = "transfer plain --out a.png --source 0 --reference 1=left --segmentation seg.png --part-table parts.json"
TL = "translate plain kin --out a.png --seeds 0"
V = "panorama plain --out a.gif --seeds 0-2 --pan x --view 16x16"
DR = "drag plain --out out --seeds 3 --point 4,8:7,8 --steps 3 --frames 0"
F = "metrics plain --data store --metrics kd_effnet --num-images 4 --num-data 4 --no-cache"
D = "prepare photos --out out --size 8 --workers 1"
E = "expand plain --out a.png --seeds 0"
B = "blend plain --out a.png --seeds 0,1"
H = "shift plain --out a.png --seeds 0 --at 8px --copy 'box:0,0,0.5,1 by 0.5,0'"
C = "cond --out out --seeds 0-1 --class 0"

CHANGES: dict[str, tuple[str, str]] = {
    # command and parameter: what is typed without it, and what is added (later options win)
    "generate seeds": (G, "--seeds 2-3"),
    "generate latent": (G, "--latent z.npz"),
    "generate latent_space": ("generate plain --out out --latent rows.npz", "--latent-space w"),
    "generate psi": (G, "--psi 0.5"),
    "generate psi_strip": (G, "--psi-strip 0,0.5"),
    "generate psi_cutoff": (f"{G} --psi 0.5", "--psi-cutoff 2"),
    "generate label": (f"generate {C}", "--class 1"),
    "generate noise": (G, "--noise random"),
    "generate image_format": (G, "--format jpg"),
    "generate translate": (G.replace("plain", "sg3"), "--translate 0.2,0"),
    "generate rotate": (G.replace("plain", "sg3"), "--rotate 30"),
    "interpolate translate": (I.replace("plain", "sg3"), "--translate 0.2,0"),
    "interpolate rotate": (I.replace("plain", "sg3"), "--rotate 30"),
    "generate grid": ("generate plain --out a.png --seeds 0-3", "--grid 4x1"),
    "generate gap": ("generate plain --out a.png --seeds 0-3", "--gap 3"),
    "generate latents": (G, "--latents"),
    "generate space": (f"{G} --latents", "--space z"),
    "generate precision": (G, "--precision bf16"),
    "replay settings": ("replay scene.png --out out.png", "--set psi=0.5"),
    "replay size": ("replay scene.png --out out.png", "--size 20x16"),
    "replay model": ("replay scene.png --out out.png --any-model", "--model other"),
    "mix rows": (M, "--rows 3"),
    "mix cols": (M, "--cols 3"),
    "mix layers": (M, "--layers 1"),
    "mix psi": (M, "--psi 0.5"),
    "mix psi_cutoff": (f"{M} --psi 0.5", "--psi-cutoff 2"),
    "mix label": ("mix cond --out a.png --rows 0 --cols 1 --class 0", "--class 1"),
    "mix noise": (M, "--noise random"),
    "mix latent_space": (f"{M} --cols rows.npz", "--latent-space w"),
    "mix gap": (M, "--gap 5"),
    "mix precision": (M, "--precision bf16"),
    "interpolate seeds": (I, "--seeds 3-5"),
    "interpolate space": (I, "--space z"),
    "interpolate path": (I, "--path spherical"),
    "interpolate smooth": (I, "--smooth cubic"),
    "interpolate frames": (I, "--frames 4"),
    "interpolate fps": ("interpolate plain --out a.gif --frames 3 --seeds 0,1", "--fps 5"),
    "interpolate loop": (I, "--loop"),
    "interpolate grid": (f"{I} --seeds 0-3", "--grid 2x1"),
    "interpolate gap": (f"{I} --seeds 0-3 --grid 2x1", "--gap 3"),
    "interpolate psi": (I, "--psi 0.5"),
    "interpolate psi_cutoff": (f"{I} --psi 0.5", "--psi-cutoff 2"),
    "interpolate label": ("interpolate cond --out out --frames 2 --seeds 0,1 --class 0", "--class 1"),
    "interpolate noise": (I, "--noise random"),
    "interpolate latent_space": (f"{I} --seeds 0,rows.npz", "--latent-space w"),
    "interpolate precision": (I, "--precision bf16"),
    "project space": (P, "--space w+"),
    "project prior": (P, "--prior mean"),
    "project prior_weight": (f"{P} --prior mean", "--prior-weight 5"),
    "project mask": (P, "--mask box:0,0,0.5,1"),
    "project downscale": (P, "--downscale 4"),
    "project grayscale": (P, "--grayscale"),
    "project starts": (P, "--starts 20"),
    "project coarse": (P, "--coarse 1"),
    "project patience": (f"{P} --steps 20 --lr 0", "--patience 2"),
    "project loss": (P, "--loss pixels"),
    "project pixel_weight": (P, "--pixel-weight 1"),
    "project steps": (P, "--steps 2"),
    "project lr": (P, "--lr 0.01"),
    "project noise": (P, "--no-noise"),
    "project zero_noise": (P, "--zero-noise"),
    "project noise_weight": (f"{P} --lr 0.5", "--noise-weight 1e9"),
    "project label": ("project cond photo.png --out out --steps 2 --class 0", "--class 1"),
    "project seed": (P, "--seed 1"),
    "project crop": ("project plain wide.png --out out --steps 2", "--crop none"),
    "project smooth": ("project plain film --out out --steps 8", "--smooth 0.1"),
    "project frame_steps": ("project plain film --out out --steps 8 --smooth 0.1", "--frame-steps 5"),
    "project place": ("project sg3 photo.png --out out --steps 3", "--no-place"),
    "project landmarks": (
        "project plain photo.png --out out --steps 2 --crop face --landmarks near.csv",
        "--landmarks far.csv",
    ),
    "project video": (P, "--video webp"),
    "project precision": (P, "--precision bf16"),
    "project encoder": (P, "--encoder encoder.safetensors"),
    "encoder train space": (EN, "--space w+"),
    "encoder train data": (EN, "--data fitting"),
    "encoder train kimg": (EN, "--kimg 0.024"),
    "encoder train batch": (EN, "--batch 4"),
    "encoder train seed": (EN, "--seed 1"),
    "encoder train precision": (EN, "--precision bf16"),
    "tune steps": (TU, "--steps 3"),
    "tune lr": (TU, "--lr 0.1"),
    "tune loss": (TU, "--loss pixels"),
    "tune locality": (TU, "--locality 5"),
    "tune rank": (TU, "--rank 1"),
    "tune batch": (f"{TU} --steps 3", "--batch 1"),
    "tune seed": (TU, "--seed 1"),
    "tune precision": (TU, "--precision bf16"),
    "panorama seeds": (W, "--seeds 3-5"),
    "panorama latent": (W, "--latent z.npz"),
    "panorama grid": (f"{W.replace('0-2', '0-3')}", "--grid 2x2"),
    "panorama endless": ("panorama plain --out a.png --grid 2x1 --endless 0", "--endless 1"),
    "panorama places": ("panorama plain --out a.png", "--places places.txt"),
    "panorama painting": ("panorama cond --out a.png --map map.png --legend red=0,blue=1", "--map other_map.png"),
    "panorama legend": ("panorama cond --out a.png --map map.png --legend red=0,blue=1", "--legend red=1,blue=0"),
    "panorama blend": (W, "--blend soat"),
    "panorama mode": (W, "--mode pairs"),
    "panorama width": (W, "--width 40"),
    "panorama height": (f"{W} --vertical", "--height 40"),
    "panorama vertical": (W, "--vertical"),
    "panorama wrap": (W, "--wrap"),
    "panorama overlap": (W, "--overlap 0.1"),
    "panorama smooth": (W, "--smooth 1"),
    "panorama psi": (W, "--psi 0.5"),
    "panorama psi_cutoff": (f"{W} --psi 0.5", "--psi-cutoff 2"),
    "panorama label": ("panorama cond --out a.png --seeds 0,1 --class 0", "--class 1"),
    "panorama noise": (W, "--noise random"),
    "panorama latent_space": ("panorama plain --out a.png --latent rows.npz --seeds 0", "--latent-space w"),
    "panorama seed": (f"{W} --noise random", "--seed 1"),
    "panorama precision": (W, "--precision bf16"),
    "panorama pan": (W, "--pan x --view 16x16 --out a.gif"),
    "panorama view": (V, "--view 8x8"),
    "panorama speed": (V, "--speed 2"),
    "panorama fps": (V, "--fps 5"),
    "expand seeds": (E, "--seeds 1"),
    "expand factor": (E, "--factor 1x2"),
    "expand left": (E, "--left 8"),
    "expand right": (E, "--right 8"),
    "expand top": (E, "--top 8"),
    "expand bottom": (E, "--bottom 8"),
    "expand mode": (E, "--mode replicate"),
    "expand resize_filter": (f"{E} --mode resize", "--filter bilinear"),
    "expand repeat": (E, "--repeat box:0,0,0.5,1"),
    "expand times": (f"{E} --repeat box:0,0,0.5,1", "--times 2"),
    "expand vertical": (f"{E} --repeat box:0,0,0.5,1", "--vertical"),
    "expand at": (E, "--at 4px"),
    "expand psi": (E, "--psi 0.5"),
    "expand psi_cutoff": (f"{E} --psi 0.5", "--psi-cutoff 2"),
    "expand label": ("expand cond --out a.png --seeds 0 --class 0", "--class 1"),
    "expand noise": (E, "--noise random"),
    "expand latent_space": ("expand plain --out out --seeds rows.npz", "--latent-space w"),
    "expand grid": (f"{E} --seeds 0-3", "--grid 4x1"),
    "expand gap": (f"{E} --seeds 0-3", "--gap 3"),
    "expand precision": (E, "--precision bf16"),
    "blend seeds": (B, "--seeds 1,2"),
    "blend shape": (B, "--shape box:0,0,0.5,1"),
    "blend direction": (B, "--direction vertical"),
    "blend overlap": (B, "--overlap 0.1"),
    "blend blend_ramp": (B, "--blend soat"),
    "blend mode": (B, "--mode suzuki"),
    "blend layers": (B, "--layers coarse"),
    "blend psi": (B, "--psi 0.5"),
    "blend psi_cutoff": (f"{B} --psi 0.5", "--psi-cutoff 2"),
    "blend label": ("blend cond --out a.png --seeds 0,1 --class 0", "--class 1"),
    "blend classes": ("blend cond --out a.png --seeds 0,1 --classes 0,1", "--classes 1,0"),
    "blend noise": (B, "--noise random"),
    "blend latent_space": ("blend plain --out a.png --seeds 0,rows.npz", "--latent-space w"),
    "blend seed": (f"{B} --noise random", "--seed 1"),
    "blend precision": (B, "--precision bf16"),
    "shift seeds": (H, "--seeds 1"),
    "shift photo": (H, "--photo photo.png --steps 2"),
    "shift steps": (f"{H} --photo photo.png --steps 2", "--steps 3"),
    "shift copy": (H, "--copy 'box:0,0,0.5,0.5 by 0.5,0.5'"),
    "shift move": (H, "--move 'box:0,0,0.5,0.5 by 0.5,0.5'"),
    "shift swap": (H, "--swap 'box:0,0,0.5,0.5 by 0.5,0.5'"),
    "shift mirror": (H, "--mirror 'box:0,0,1,1 y'"),
    "shift random": (H, "--random 1"),
    "shift seed": (f"{H} --random 1", "--seed 1"),
    "shift along": (f"{H} --random 1", "--along y"),
    "shift softness": (H, "--softness 0.5"),
    "shift at": (H, "--at 4px"),
    "shift parts_of": (H, "--parts-of 5"),
    "shift features_only": (H, "--features-only"),
    "shift psi": (H, "--psi 0.5"),
    "shift psi_cutoff": (f"{H} --psi 0.5", "--psi-cutoff 2"),
    "shift label": (H.replace("plain", "cond --class 0"), "--class 1"),
    "shift noise": (H, "--noise random"),
    "shift latent_space": (f"{H} --out out --seeds rows.npz", "--latent-space w"),
    "shift grid": (f"{H} --seeds 0-3", "--grid 4x1"),
    "shift gap": (f"{H} --seeds 0-3", "--gap 3"),
    "shift precision": (H, "--precision bf16"),
    "edit seeds": (ED, "--seeds 2,3"),
    "edit latent": (ED, "--latent z.npz"),
    "edit move": (ED, "--move w.safetensors:1=1"),
    "edit channel": (ED, "--channel b8_conv0:1=2"),
    "edit layers": (ED, "--layers 0-1"),
    "edit s_psi": (ED, "--s-psi 0.5"),
    "edit mask": (ED, "--mask box:0,0,0.5,1"),
    "edit mask_layers": (f"{ED} --mask box:0,0,0.5,1", "--mask-layers 0-1"),
    "edit steps": (ED, "--steps 2"),
    "edit both": (ED, "--both"),
    "edit frames": (f"{ED} --out out", "--frames 3"),
    "edit fps": (f"{ED} --out a.gif --frames 3", "--fps 5"),
    "edit gap": (ED, "--gap 3"),
    "edit psi": (ED, "--psi 0.5"),
    "edit psi_cutoff": (f"{ED} --psi 0.5", "--psi-cutoff 2"),
    "edit label": ("edit cond --out a.png --seeds 0 --class 0 --channel b8_conv0:1=2", "--class 1"),
    "edit noise": (ED, "--noise random"),
    "edit latent_space": (f"{ED} --latent rows.npz", "--latent-space w"),
    "edit precision": (ED, "--precision bf16"),
    "directions find method": (DF, "--method pca"),
    "directions find count": (DF, "--count 3"),
    "directions find layers": (DF, "--layers 0-1"),
    "directions find features": (f"{DF} --method pca", "--features 8px"),
    "directions find normalize": (DF, "--no-normalize"),
    "directions find labels": (f"{DF} --method boundary --latent named.npz --labels named.csv", "--labels other.csv"),
    "directions find attribute": (f"{DF} --method boundary --latent named.npz --labels named.csv", "--attribute no"),
    "directions find latent": (f"{DF} --method boundary --latent named.npz --labels named.csv", "--latent more.npz"),
    "directions find mask": (f"{DF} --method channels --mask box:0,0,0.5,1 --images 1", "--mask box:0.5,0,1,1"),
    "directions find images": (f"{DF} --method channels --mask box:0,0,0.5,1 --images 1", "--images 2"),
    "directions find plus": (f"{DF} --method difference --plus 0 --minus 1", "--plus 2"),
    "directions find minus": (f"{DF} --method difference --plus 0 --minus 1", "--minus 2"),
    "directions find plus_class": (
        "directions find cond --out out.safetensors --method difference --samples 20 --plus-class 1 --minus-class 0",
        "--plus-class 0.5,0.5",
    ),
    "directions find minus_class": (
        "directions find cond --out out.safetensors --method difference --samples 20 --plus-class 1 --minus-class 0",
        "--minus-class 0.5,0.5",
    ),
    "directions find name": (f"{DF} --method difference --plus 0 --minus 1", "--name smile"),
    "directions find samples": (DF, "--samples 30"),
    "directions find seed": (DF, "--seed 3"),
    "directions find label": ("directions find cond --out out.safetensors --samples 20", "--class 1"),
    "directions apply seeds": (DA, "--seeds 1"),
    "directions apply latent": (DA, "--latent z.npz"),
    "directions apply move": (DA, "--move w.safetensors:1=1"),
    "directions apply channel": (DA, "--channel b8_conv0:1=2"),
    "directions apply layers": (DA, "--layers 0-1"),
    "directions apply s_psi": (DA, "--s-psi 0.5"),
    "directions apply psi": (DA, "--psi 0.5"),
    "directions apply psi_cutoff": (f"{DA} --psi 0.5", "--psi-cutoff 2"),
    "directions apply label": (
        "directions apply cond --out out.npz --seeds 0 --class 0 --channel b8_conv0:1=2",
        "--class 1",
    ),
    "directions apply latent_space": (f"{DA} --latent rows.npz", "--latent-space w"),
    "transfer reference": (TR, "--reference 2=box:0,0,1,1"),
    "transfer mode": (TR, "--mode suzuki"),
    "transfer layers": (TR, "--layers 4"),
    "transfer align": (TR, "--no-align"),
    "transfer blend": (TR, "--blend soat"),
    "transfer softness": (TR, "--softness 0.5"),
    "transfer segmentation": (SE, "--segmentation other.png"),
    "transfer part_table": (SE, "--part-table swapped.json"),
    "transfer clusters": (CO, "--clusters 6"),
    "transfer samples": (CO, "--samples 2"),
    "transfer budget": (CO, "--budget 0.9"),
    "transfer show_inputs": (TR, "--show-inputs"),
    "transfer psi": (TR, "--psi 0.5"),
    "transfer psi_cutoff": (f"{TR} --psi 0.5", "--psi-cutoff 2"),
    "transfer label": (TR.replace("plain", "cond --class 0"), "--class 1"),
    "transfer noise": (TR, "--noise random"),
    "transfer latent_space": (f"{TR} --source rows.npz", "--latent-space w"),
    "transfer gap": (f"{TR} --source 0,1", "--gap 5"),
    "transfer precision": (TR, "--precision bf16"),
    "translate seeds": (TL, "--seeds 1"),
    "translate mode": (TL, "--mode swap --layers coarse"),
    "translate alpha": (TL, "--alpha 0.5"),
    "translate layers": (TL, "--layers 3-5"),
    "translate by_layer": (TL, "--by-layer 0-3=0.5"),
    "translate region": (TL, "--region box:0,0,0.5,1"),
    "translate softness": (f"{TL} --region box:0,0,0.5,1", "--softness 0.5"),
    "translate segmentation": (
        f"{TL} --region left --segmentation seg.png --part-table parts.json",
        "--segmentation other.png",
    ),
    "translate part_table": (
        f"{TL} --region left --segmentation seg.png --part-table parts.json",
        "--part-table swapped.json",
    ),
    "translate styles": (f"{TL} --styles 1 --style-layers all", "--styles 2"),
    "translate style_layers": (f"{TL} --styles 1 --style-layers all", "--style-layers 3-5"),
    "translate show_inputs": (TL, "--show-inputs"),
    "translate psi": (TL, "--psi 0.5"),
    "translate psi_cutoff": (f"{TL} --psi 0.5", "--psi-cutoff 2"),
    "translate label": ("translate cond cond --out a.png --seeds 0 --class 0", "--class 1"),
    "translate noise": (TL, "--noise random"),
    "translate latent_space": (f"{TL} --seeds rows.npz", "--latent-space w"),
    "translate gap": (f"{TL} --seeds 0,1", "--gap 5"),
    "translate precision": (TL, "--precision bf16"),
    "drag points": (DR, "--point 3,3:5,5"),
    "drag seeds": (DR, "--seeds 4"),
    "drag mask": (DR, "--mask box:0,0,0.5,1"),
    "drag mask_weight": (f"{DR} --mask box:0,0,0.5,1", "--mask-weight 1000"),
    "drag space": (DR, "--space w"),
    "drag layer": (DR, "--layer 16px"),
    "drag radius": (DR, "--radius 3"),
    "drag window": (f"{DR} --lr 0.5", "--window 0.1"),
    "drag steps": (DR, "--steps 2"),
    "drag lr": (DR, "--lr 0.1"),
    "drag frames": (DR, "--frames 2"),
    "drag psi": (DR, "--psi 0.5"),
    "drag psi_cutoff": (f"{DR} --psi 0.5", "--psi-cutoff 2"),
    "drag label": ("drag cond --out out --seeds 3 --point 4,8:7,8 --steps 2 --frames 0 --class 0", "--class 1"),
    "drag latent_space": (
        "drag plain --out out --seeds one.npz --point 4,8:7,8 --steps 2 --frames 0",
        "--latent-space z",
    ),
    "drag precision": (DR, "--precision bf16"),
    "metrics data": (F, "--data photos"),
    "metrics names": (F, "--metrics fd_effnet"),
    "metrics num_images": (F, "--num-images 5"),
    "metrics num_data": (F, "--num-data 3"),
    "metrics psi": (F, "--psi 0.5"),
    "metrics label": (F.replace("plain", "cond --class 0"), "--class 1"),
    "metrics seed": (F.replace("plain", "cond"), "--seed 1"),
    "metrics images": (F, "photos"),
    "metrics save_statistics": (F, "--save-statistics stats.npz"),
    "metrics html": (F, "--html page.html"),
    "metrics neighbours": (F, "--neighbours near.png"),
    "metrics by_class": (f"{F} --num-data 2".replace("plain", "cond"), "--by-class"),
    "metrics precision": (F, "--precision bf16"),
    "metrics confidence": (F, "--confidence 3"),
    "metrics markdown": (F, "--markdown"),
    "metrics latex": (F, "--latex"),
    "convert form": ("convert plain out.safetensors", "--form nvidia"),
    "convert half": ("convert plain out.safetensors", "--half"),
    "info layers": ("info plain --json", "--no-layers"),
    "data info pictures": ("data info store", "--pictures out"),
    "data export form": ("data export store --out out", "--form rosinality"),
    "prepare size": (D, "--size 16"),
    "prepare crop": (f"{D} --size 8x16", "--crop none"),
    "prepare filter_name": (D, "--filter box"),
    "prepare channels": (D, "--channels 1"),
    "prepare background": ("prepare clear.png --out out --size 8", "--background 255,0,0"),
    "prepare bits": ("prepare deep.png --out out --size 8", "--bits 12"),
    "prepare encoding": (D, "--encoding raw"),
    "prepare pyramid": (D, "--pyramid"),
    "prepare exact_decoding": ("prepare large.jpg --out out --size 8", "--exact-decoding"),
    "prepare landmarks": ("prepare photos --out out --size 8 --crop face --landmarks one.csv", "--landmarks two.csv"),
    "prepare limit": (D, "--limit 2"),
    "prepare shuffle_seed": (D, "--shuffle-seed 1"),
    "prepare split": (D, "--split a=0.5,b=0.5"),
    "prepare dedupe": (D, "--dedupe exact"),
    "prepare min_size": (D, "--min-size 14"),
    "prepare max_aspect": (D, "--max-aspect 1.2"),
    "prepare max_pixels": (D, "--max-pixels 200"),
    "prepare enlarge": ("prepare photos photo.png --out out --size 16", "--no-enlarge"),
    "prepare any_size": (f"{D} --size 9", "--any-size"),
    "prepare animated": ("prepare film.gif photo.png --out out --size 8", "--animated refuse"),
    "prepare seed": (f"{D} --crop random:1", "--seed 1"),
    "prepare labels": (D, "--labels folders"),
    "prepare label_columns": (f"{D} --labels table.csv", "--label-columns b"),
    "prepare label_kind": (f"{D} --labels table.csv --label-columns b", "--label-kind float"),
    "prepare part": (D, "--part 1/2"),
    "prepare on_error": ("prepare photos broken.png --out out --size 8", "--on-error stop"),
    "prepare max_bad": ("prepare photos broken.png --out out --size 8", "--max-bad 0"),
}
SAME: dict[str, str] = {
    # parameters that shall not change the result, and why
    "batch": "memory and speed; results do not depend on it, by tests/tasks",
    "device": "where it is computed",
    "tile": "memory; the image is the same but for rounding, by tests/render/stream",
    "replay max_pixels": "refuses larger images; by tests/cli/test_streaming.py",
    "panorama max_pixels": "refuses larger images; by tests/cli/test_streaming.py",
    "workers": "how many processes work",
    "replay any_model": "allows another --model; by tests/render/test_replay.py",
    "edit any_model": "allows directions of another model; by tests/render/test_edit.py",
    "directions apply any_model": "as above",
    "replay show": "prints and makes nothing; by tests/render/test_replay.py",
    "panorama tile": "memory and speed; the last digits at most, by tests/render/test_planes.py",
    "cache": "what is kept for later runs",
    "quiet": "what is told beside the result; by tests/cli/test_help.py",
    "verbose": "what is told beside the result; by tests/cli/test_help.py",
    "json": "how the result is written; by tests/cli/test_report.py",
    "out": "the name of the result",
    "force": "allows to overwrite; by the test below",
    "model": "the input",
    "projections": "the input",
    "encoder train max_time": "stops earlier and continues; by tests/inversion/test_encoder.py",
    "images": "the input",
    "metrics all_snapshots": "needs a run; by tests/runs/test_measuring.py",
    "project recompute": "memory and time; by tests/inversion/test_spaces.py",
    "metrics action": "hidden: list, cache list|clear; by tests/cli/test_metrics.py",
    "metrics older_than": "of cache clear; by tests/measure/test_kept.py",
    "metrics max_size": "of cache clear; by tests/measure/test_kept.py",
    "metrics discriminator": "by tests/measure/test_measure.py",
    "sources": "the input",
    "source": "the input",
    "store": "the input",
    "stores": "the input",
    "base": "the input",
    "target": "the input",
    "first": "the input",
    "second": "the input",
    "file": "the input",
    "name": "the input",
    "weights fetch names": "the input",
    "weights fetch mirror": "where the same file is from; by tests/cli/test_weights.py",
    "weights add files": "the input",
    "convert size": "for files that do not record it, refused for others; by tests/cli/test_convert.py",
    "convert label": "for exports without labels; by tests/cli/test_convert.py",
    "convert space": "for programs; by tests/checkpoint/test_programs.py",
    "info size": "for files that do not record it; by tests/cli/test_convert.py",
    "demo minutes": "by tests/tasks/test_demo.py",
    "metrics classifier": "by tests/measure/test_classifying.py",
    "classifier train labels": "by tests/measure/test_classifying.py",
    "classifier train attributes": "by tests/measure/test_classifying.py",
    "classifier train network": "the others need downloads; by tests/measure/test_classifying.py",
    "classifier train num_images": "by tests/measure/test_classifying.py",
    "classifier train seed": "by tests/measure/test_classifying.py",
}

REFUSED = [
    # in these situations the option after the bar would do nothing
    f"{G} | --gap 3",
    "generate plain --out a.png --seeds 3 | --gap 3",
    "generate plain --out a.png --seeds 3 | --format jpg",
    f"{G} | --translate 0.2,0",
    f"{G} | --rotate 0",
    f"{I} | --rotate 30",
    f"{G} | --grid 2x1",
    f"{G} | --space z",
    f"{G} | --psi-cutoff 2",
    f"{G} --psi 0.5 | --psi-cutoff 10",
    f"{G} --psi-strip 0,1 | --psi 0.5",
    "generate plain --out out --latent w.npz | --psi-strip 0,1",
    f"{G} | --latent-space w",
    "generate plain --out out --latent w.npz | --psi 0.5",
    "generate cond --out out --latent w.npz | --class 1",
    "generate plain --out out --seeds 0 | --class 1",
    "generate progan --out out --seeds 0 | --noise random",
    "generate progan --out out --seeds 0 | --noise const",
    "generate sg3 --out out --seeds 0 | --noise none",
    "generate plain --out out --latent w.npz | --latent-space z",
    "mix sg3 --out a.png --rows 0 --cols 1 | --noise random",
    "mix plain --out a.png --rows w.npz --cols w.npz | --psi 0.5",
    "mix plain --out a.png --rows 0 --cols 1 | --layers fine",
    f"{I} | --fps 5",
    f"{I} | --gap 3",
    "interpolate plain --out a.gif --frames 3 --seeds 0,1 | --smooth cubic",
    "interpolate plain --out a.gif --frames 3 --seeds 0,w.npz | --smooth cubic",
    "interpolate sg3 --out a.gif --frames 3 --seeds 0,1 | --noise const",
    f"{P} --loss pixels | --pixel-weight 3",
    f"{P} --no-noise | --noise-weight 3",
    f"{P} --zero-noise | --noise-weight 3",
    f"{P} --zero-noise | --noise",
    "project sg3 photo.png --out out --steps 1 | --zero-noise",
    f"{P} | --prior-weight 3",
    "project sg3 photo.png --out out --steps 1 | --noise",
    "project sg3 photo.png --out out --steps 1 | --no-noise",
    "project progan photo.png --out out --steps 1 | --noise-weight 3",
    "project progan photo.png --out out --steps 1 | --space w+",
    f"{P} | --class 0",
    f"{P} --steps 0 --starts 2 | --lr 0.2",
    f"{P} --steps 0 --starts 2 | --patience 3",
    f"{P} --steps 0 --starts 2 | --no-noise",
    f"{P} --steps 0 --starts 2 | --video webp",
    "encoder train progan --out out.safetensors --kimg 0.008 --batch 8 | --space w+",
    f"{P} | --landmarks near.csv",
    f"{P} | --place",
    f"{P} | --frame-steps 5",
    f"{P} --smooth 1 | --batch 2",
    "project sg3 photo.png --out out --steps 1 --space s | --no-place",
    f"{DR} | --mask-weight 3",
    "drag progan --out out --seeds 3 --point 4,8:7,8 --steps 2 | --space w",
    f"{ED} | --mask-layers 0",
    f"{ED} | --frames 3",
    f"{ED} | --fps 3",
    f"{ED} --out a.gif | --steps 3",
    f"{ED} --out out | --fps 3",
    "edit plain --out a.png --seeds 0 --channel b8_conv0:1=2 | --layers 0",
    "edit plain --out a.png --latent w.npz --channel b8_conv0:1=2 | --psi 0.5",
    "directions apply plain --out out.npz --seeds 0 --channel b8_conv0:1=2 | --layers 0",
    f"{DF} | --features 8px",
    f"{DF} | --labels named.csv",
    f"{DF} | --mask box:0,0,1,1",
    f"{DF} | --name a",
    f"{DF} | --plus 0",
    f"{DF} | --minus-class 0",
    f"{DF} --method pca | --no-normalize",
    f"{DF} --method difference --plus 0 --minus 1 | --count 3",
    f"{DF} --method boundary --latent named.npz --labels named.csv | --images 3",
    f"{W} | --height 32",
    f"{W} --vertical | --width 32",
    f"{W} | --seed 3",
    f"{W} | --view 8x8",
    f"{W} | --speed 2",
    f"{W} | --fps 5",
    f"{V} | --max-pixels 9",
    "panorama plain --out a.png --seeds 0 | --overlap 0.3",
    "panorama plain --out a.png --seeds 0 | --smooth 0.3",
    "panorama sg3 --out a.png --seeds 0,1 | --noise const",
    "panorama plain --out a.png --seeds 0 | --blend soat",
    f"{W} --blend soat | --overlap 0.3",
    f"{W} | --legend red=0",
    "panorama plain --out a.png --endless 0 --grid 2x2 | --seeds 0-3",
    "panorama plain --out a.png --endless 0 --grid 2x2 | --vertical",
    "panorama plain --out a.png --places places.txt | --seeds 0-3",
    "panorama plain --out a.png --places places.txt | --endless 3",
    "mix progan --out a.png --rows 0 --cols 1 | --noise const",
    f"{E} | --times 3",
    f"{E} | --vertical",
    f"{E} | --filter bilinear",
    f"{E} | --gap 3",
    f"{E} --right 8 | --factor 2",
    f"{E} --mode resize | --right 8",
    f"{E} --mode tile | --left 8",
    f"{E} --repeat box:0,0,0.5,1 | --factor 2",
    f"{E} --repeat box:0,0,0.5,1 | --mode tile",
    "expand progan --out a.png --seeds 0 | --noise random",
    f"{B} | --seed 3",
    f"{B} --blend soat | --overlap 0.3",
    f"{B} --shape all:0.5 | --overlap 0.3",
    f"{B} --shape all:0.5 | --direction radial",
    f"{B} --shape all:0.5 | --blend soat",
    f"{B} --shape all:0.5@coarse | --layers middle",
    "blend cond --out a.png --seeds 0,1 --classes 0,1 | --class 1",
    f"{H} | --seed 3",
    f"{H} | --along y",
    f"{H} | --steps 3",
    f"{H} | --gap 3",
    "shift progan --out a.png --seeds 0 --mirror 'box:0,0,1,1' | --features-only",
    f"{TR} | --gap 3",
    f"{TR} | --clusters 3",
    f"{TR} --mode suzuki | --softness 0.1",
    f"{TR} --mode suzuki | --blend soat",
    f"{TR} --blend soat | --softness 0.1",
    f"{TR} | --segmentation seg.png --part-table parts.json",
    f"{TR} | --part-table parts.json",
    f"{TL} | --gap 3",
    f"{TL} | --softness 0.2",
    f"{TL} | --style-layers coarse",
    f"{TL} --mode swap --layers coarse | --alpha 0.5",
    f"{TL} --by-layer coarse=0.5 | --layers coarse",
    "metrics store --data photos --num-images 4 | --psi 0.5",
    "metrics store --data photos --num-images 4 | --class 0",
    "metrics store --data photos --num-images 4 --metrics fd_effnet | --seed 1",
    "metrics photos --data photos --num-images 4 | --workers 1",
    f"{F} | --seed 1",
    "metrics seams photo.png | --data photos",
    "metrics seams photo.png | --psi 0.5",
    "metrics store --data photos --num-images 4 | --discriminator plain",
    "metrics store --data photos --num-images 4 | --older-than 3d",
    "metrics store --data photos --num-images 4 | --max-size 1GiB",
    f"{F} | --class 0",
    "convert plain out.safetensors | --size 16",
    "convert plain out.npz | --half",
    "convert plain out.npz | --space w+",
    "convert plain out.pt2 | --half",
    "info plain | --size 16",
    "info photo.png | --size 16",
    "info photo.png | --no-layers",
    f"{D} | --any-size",
    f"{D} | --landmarks one.csv",
    f"{D} | --landmarks dlib",
    f"{D} --size 4 | --pyramid",
    f"{D} | --seed 1",
    f"{D} | --seed 0",
    f"{D} --channels 4 | --background 1,2,3",
    "data info store | --force",
    f"{D} --on-error stop | --max-bad 3",
    f"{D} --split a=0.5,b=0.5 | --part 1/2",
]


def parameters() -> Iterator[str]:
    for row in COMMANDS:
        command = load_command(row.name)
        children = getattr(command, "commands", {}) or {"": command}
        for name, child in children.items():
            yield from (f"{row.name} {name}".strip() + f" {parameter.name}" for parameter in child.params)


def test_every_parameter_has_a_row_and_every_row_a_parameter() -> None:
    known = [name for name in parameters() if not name.startswith("train ")]
    for name in known:
        has_row = name in CHANGES or name in SAME or name.rpartition(" ")[2] in SAME
        assert has_row, f"sgkit {name}: say in CHANGES what it changes, or in SAME why it changes nothing"
    assert set(CHANGES) <= set(known)
    assert {name for name in SAME if " " in name} <= set(known)


# ------------------------------------------------------------------------------------------------ inputs


def tiny(name: str, **changes: Any) -> Model:
    """A model of 16 px whose noise, labels and average w matter."""
    config = preset(name, image_size=(16, 16), label_dim=changes.pop("label_dim", 0)).model
    small = {
        f"{network}.{key}": value
        for network in ("synthesis", "discriminator")
        for key, value in (("channel_base", 64), ("channel_max", 8))
    }
    small |= {"z_dim": 8, "w_dim": 8, "discriminator.mapping.num_layers": 1}
    small["mapping.num_layers"] = min(config.mapping.num_layers, 2)
    if config.synthesis.alias_free is not None:
        small |= {"synthesis.alias_free.num_layers": 5, "synthesis.alias_free.margin": 3}
    model = build(override(config, small), seed=1)
    generator = torch.Generator().manual_seed(0)
    for tensor_name, tensor in model.generator.state_dict().items():
        if tensor_name.endswith(("noise_strength", "w_avg")) or ".bias" in tensor_name:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model


def picture(path: Path, size: tuple[int, int], seed: int, mode: str = "RGB") -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], len(mode)), dtype=np.uint8)
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the rows name."""
    folder = tmp_path_factory.mktemp("inputs")
    models = {"plain": tiny("stylegan2-f"), "cond": tiny("stylegan2-f", label_dim=2), "progan": tiny("progan")}
    models["sg3"] = tiny("stylegan3-t")
    for name, model in models.items():
        sgkit.save(model, folder / f"{name}.safetensors")
        (folder / f"{name}.safetensors").rename(folder / name)
    plain = models["plain"]
    kin = tiny("stylegan2-f")  # what fine-tuning with frozen affine and mapping layers gives
    generator = torch.Generator().manual_seed(5)
    for tensor_name, tensor in kin.generator.synthesis.state_dict().items():
        if tensor_name.endswith("weight") and "affine" not in tensor_name:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.3)
    sgkit.save(kin, folder / "kin.safetensors")
    (folder / "kin.safetensors").rename(folder / "kin")
    for name, edge in (("seg.png", 8), ("other.png", 4)):
        numbers = np.ones((16, 16), np.uint8)
        numbers[:, :edge] = 2
        Image.fromarray(numbers).save(folder / name)
    (folder / "parts.json").write_text('{"left": 2, "right": [1]}')
    (folder / "swapped.json").write_text('{"left": 1, "right": [2]}')
    z = plain.sample_z([7])
    save_latents(Latents(space="z", values={"z": z}, names=("z",)), folder / "z.npz")
    save_latents(Latents(space="w", values={"w": plain.map(z)[:, 0]}, names=("w",)), folder / "w.npz")
    np.savez(folder / "one.npz", w=plain.map(z)[:, 0].numpy())
    np.savez(folder / "rows.npz", w=plain.map(plain.sample_z(range(plain.num_ws)))[:, 0].numpy())
    w = torch.randn(2, 8, generator=torch.Generator().manual_seed(5))
    facts = {"names": ("up", "down"), "signs": ("", ""), "method": "test", "model_hash": plain.content_hash()}
    save_directions(unit({"w": w}, space="w", **facts), folder / "w.safetensors")
    for name, seeds in (("named", range(20)), ("more", range(20, 40))):
        ws = plain.map(plain.sample_z(seeds))[:, 0]
        names = tuple(f"p{index}" for index in seeds)
        save_latents(Latents(space="w", values={"w": ws}, names=names), folder / f"{name}.npz")
    for name, period in (("named", 2), ("other", 3)):
        rows = "".join(f"p{index},{'no' if index % period else 'yes'}\n" for index in range(40))
        (folder / f"{name}.csv").write_text(f"file,smile\n{rows}")
    for group in ("a", "b"):
        (folder / "photos" / group).mkdir(parents=True)
    for seed in range(6):
        picture(folder / "photos" / "ab"[seed % 2] / f"{seed}.png", (12 + seed, 14), seed)
    picture(folder / "photos" / "b" / "again.png", (12, 14), 0)
    for name, size, mode in (
        ("photo.png", (16, 16), "RGB"),
        ("wide.png", (40, 16), "RGB"),
        ("clear.png", (16, 16), "RGBA"),
        ("large.jpg", (640, 640), "RGB"),
    ):
        picture(folder / name, size, 9, mode)
    Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 16).save(folder / "deep.png")
    for name, colours in (("map.png", ((255, 0, 0), (0, 0, 255))), ("other_map.png", ((0, 0, 255), (255, 0, 0)))):
        painted = Image.new("RGB", (2, 1))
        painted.putdata(colours)
        painted.save(folder / name)
    (folder / "places.txt").write_text("3, z.npz\n0, 3\n")
    (folder / "film").mkdir()
    for seed in range(2):
        picture(folder / "film" / f"{seed}.png", (16, 16), seed)
    for name, left in (("near.csv", 5), ("far.csv", 4)):
        (folder / name).write_text(f"name,x0,y0,x1,y1,x2,y2,x3,y3\nphoto.png,{left},6,11,6,6,11,10,11\n")
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:100])
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    names = sorted(path.relative_to(folder / "photos").as_posix() for path in (folder / "photos").rglob("*.png"))
    (folder / "table.csv").write_text("file,a,b\n" + "".join(f"{n},{i % 2},{i % 3}\n" for i, n in enumerate(names)))
    (folder / "other").symlink_to("progan")
    assert main(["generate", str(folder / "plain"), "--seeds", "3", "--out", str(folder / "scene.png")]) == 0
    projected = ["photo.png", "clear.png", "--steps", "2", "--out", "projected"]
    words = [str(folder / word) if "." in word or word == "projected" else word for word in projected]
    assert main(["project", str(folder / "plain"), *words]) == 0
    trained = ["--kimg", "0.008", "--batch", "8", "--out", str(folder / "encoder.safetensors")]
    assert main(["encoder", "train", str(folder / "plain"), *trained]) == 0
    points = [3, 4, 9, 4, 6, 6, 4, 9, 8, 9]
    for name, move in (("one.csv", 0), ("two.csv", 1)):
        rows = "".join(f"{n},{','.join(str(p + move) for p in points)}\n" for n in names)
        (folder / name).write_text(
            "file,lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y,leftmouth_x,leftmouth_y,"
            "rightmouth_x,rightmouth_y\n" + rows
        )
    assert (
        main(["prepare", str(folder / "photos"), "--size", "16", "--out", str(folder / "store"), "--labels", "folders"])
        == 0
    )
    assert main(["prepare", str(folder / "photos"), "--size", "16", "--out", str(folder / "fitting")]) == 0
    return folder


# ----------------------------------------------------------------------------------------------- outcomes


def content(path: Path) -> object:
    """What a file holds, without how it was made."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            return image.size, image.tobytes()
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name].tolist() for name in file.files}
    if path.name == "header.json":
        header = json.loads(path.read_text())
        return {key: value for key, value in header.items() if key not in ("created", "sources", "parts", "command")}
    return None if path.suffix in (".json", ".jsonl", ".mdb", ".log") else path.read_bytes()


@pytest.fixture
def outcome(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Any, ...]]:
    """Runs a line in a new folder with the inputs: exit code, what it wrote, what it said on both streams."""
    count = iter(range(9))

    def run(line: str) -> tuple[Any, ...]:
        folder = tmp_path / f"run{next(count)}"
        folder.mkdir()
        for entry in inputs.iterdir():
            (folder / entry.name).symlink_to(entry)
        monkeypatch.chdir(folder)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(shlex.split(line))
        written = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        files = {os.fspath(path.relative_to(folder)): content(path) for path in written}
        said = re.sub(r"\(?\d+:\d\d\)?|time +\S+", "", out.getvalue()).replace(str(folder), "")
        return code, files, said, err.getvalue()

    return run


@pytest.mark.parametrize("row", CHANGES, ids=lambda row: row.replace(" ", "-"))
def test_an_option_changes_the_result(row: str, outcome: Callable[[str], tuple[Any, ...]]) -> None:
    line, added = CHANGES[row]
    plain, changed = outcome(line), outcome(f"{line} {added}")
    fails = {"prepare any_size": (2, 0), "prepare on_error": (0, 1), "prepare max_bad": (0, 1)}
    assert (plain[0], changed[0]) == fails.get(row, (0, 0)), plain[3] + changed[3]
    assert plain[1:3] != changed[1:3]


@pytest.mark.parametrize("row", REFUSED)
def test_an_option_without_effect_is_refused(row: str, outcome: Callable[[str], tuple[Any, ...]]) -> None:
    line, _, added = row.partition(" | ")
    code, files, said, message = outcome(f"{line} {added}")
    assert (code, files, said) == (2, {}, ""), message
    assert added.split()[0] in message


OVERWRITES: dict[str, list[str]] = {
    # every command with --force -> lines whose output must exist already to be refused
    "data info": ["data info store --pictures out"],
    "data export": ["data export store --out out", "data export store --form nvidia --out a.zip"],
    "data merge": ["data merge store store --out out"],
    "generate": [G, "generate plain --out a.png --latents", "generate plain --out out --format jpg --seeds 0"],
    "mix": [M],
    "interpolate": [I, "interpolate plain --out a.gif --frames 2"],
    "directions find": [DF],
    "directions apply": [DA],
    "edit": [ED],
    "drag": [DR],
    "encoder train": [EN],
    "tune": [TU],
    "panorama": [W, f"{W} --tile 16", V],
    "expand": [E],
    "blend": [B],
    "shift": [H],
    "transfer": [TR],
    "translate": [TL],
    "replay": ["replay scene.png --out out.png"],
    "convert": ["convert plain a.pt"],
    "classifier train": ["classifier train store --out out.safetensors"],
    "metrics": [
        f"{F} --html page.html",
        "metrics store --metrics kd_effnet --save-statistics stats.npz",
        f"{F} --neighbours near.png",
    ],
}
CONTINUES = {
    "prepare": "the same command resumes, by tests/store/preparing; another one is refused",
    "train": "--resume continues, a run is never replaced, by tests/runs",
    "project": "finished images are skipped, by tests/inversion",
    "demo": "what is finished is kept, by tests/tasks/test_demo.py",
}


def test_every_command_that_writes_has_a_policy() -> None:
    writing = ("out", "pictures", "html")
    writes = {name.rpartition(" ")[0] for name in parameters() if name.rpartition(" ")[2] in writing}
    forced = {name.rpartition(" ")[0] for name in parameters() if name.endswith(" force")}
    assert forced == set(OVERWRITES)
    assert writes == {*OVERWRITES, *CONTINUES}


@pytest.mark.parametrize("line", [line for lines in OVERWRITES.values() for line in lines])
def test_what_exists_is_overwritten_only_with_force(
    line: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in inputs.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    named = next((option for option in ("--out", "--pictures", "--html") if option in words), None)
    target = words[words.index(named) + 1] if named else words[-1]
    assert main(words) == 0, capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(words) == 1
    shown = capsys.readouterr().err
    assert target in shown
    assert "exists already; nothing was changed" in shown
    assert "--force" in shown
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert main([*words, "--force"]) == 0


def test_numbers_must_be_finite_in_every_option() -> None:
    checked = []
    for name in parameters():
        *words, parameter = name.split()
        command = load_command(words[0])
        command = command.commands[words[1]] if len(words) > 1 else command
        kinds = {one.name: str(one.type_descriptor.annotation) for one in command.params}
        if "float" in kinds[parameter]:
            checked.append(name)
            for value in (math.nan, math.inf, -math.inf):
                with pytest.raises(UsageError, match=rf"--{parameter.replace('_', '-')}.*not finite"):
                    command.callback(**{parameter: value})
    assert {"interpolate fps", "project lr", "panorama overlap", "metrics psi", "train kimg"} <= set(checked)


@pytest.mark.parametrize(
    "line", [f"{G} --psi nan", f"{G} --psi 1,inf", f"{I} --fps inf", f"{P} --lr nan", f"{F} --psi nan"]
)
def test_what_is_typed_must_be_finite(line: str, outcome: Callable[[str], tuple[Any, ...]]) -> None:
    code, files, said, message = outcome(line)
    assert (code, files, said) == (2, {}, ""), message
