"""What people type by mistake, and what the answer must contain: what was given, what is allowed, what to do next.

To add one, write a row: the line as typed in a folder with the files of the fixture, the exit code (2: bad usage, 1:
the file is to blame, 0: it works, with a warning), and pieces of the text on standard error.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.checkpoint.deltas import save_delta
from sgkit.cli.app import main
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig, override
from sgkit.config.presets import preset
from sgkit.latents.directions import save_directions, unit
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Model, build
from sgkit.model.model import ModelInfo

MISTAKES: list[tuple[str, int, tuple[str, ...]]] = [
    # something else than a model
    ("generate store --out x", 1, ("Not a model: store is an image store", "sgkit train store")),
    ("generate photos --out x", 1, ("Not a model: photos is a folder of images", "sgkit prepare photos")),
    ("generate me.jpg --out x", 1, ("Not a model: me.jpg is a JPEG image", "sgkit project MODEL me.jpg")),
    ("generate page.pkl --out x", 1, ("page.pkl is a web page (HTML)", "download")),
    ("generate pointer.pkl --out x", 1, ("pointer.pkl is a Git LFS pointer", "git lfs pull")),
    ("generate empty.pkl --out x", 1, ("empty.pkl is an empty file (0 bytes)",)),
    ("generate https://host/net.pkl --out x", 1, ("https://host/net.pkl is a web address", "curl -LO")),
    ("generate model --out x", 1, ("There is no model model", "Did you mean")),
    ("mix me.jpg --out x.png --rows 0 --cols 1", 1, ("me.jpg is a JPEG image",)),
    ("convert photos x.pt", 1, ("photos is a folder of images",)),
    # seeds and latents
    ("generate model.st --out x --seeds a-b", 2, ("'--seeds'", "Not a list of seeds: 'a-b'", "0,3,7-12")),
    ("generate model.st --out x --seeds 9-3", 2, ("'--seeds'", "'9-3' is reversed", "3-9")),
    ("generate model.st --out x --seeds -1", 2, ("--seeds",)),
    ("generate model.st --out x --latent me.jpg", 1, ("Not a latent file: me.jpg", "sgkit project MODEL me.jpg")),
    ("mix model.st --out x.png --rows 0 --cols me.jpg", 1, ("me.jpg is a JPEG image", "sgkit project MODEL me.jpg")),
    ("mix model.st --out x.png --rows 0 --cols face", 2, ("'--cols'", "Not a seed or latent file: 'face'")),
    ("interpolate model.st --out x.gif --seeds 5", 2, ("at least 2 seeds", "1 was given", "--seeds 0-1")),
    ("interpolate model.st --out x.gif --seeds 0-2 --grid 2x1", 2, ("a grid of 2 needs 4",)),
    ("interpolate model.st --out x.gif --seeds 0-4 --grid 2x1", 2, ("divided evenly", "Give 4 or 6")),
    # truncation and classes
    ("generate model.st --out x --seeds 0 --psi 7", 0, ("Truncation psi 7 is outside -1.5 to 1.5",)),
    ("generate model.st --out x --seeds 0 --psi nan", 2, ("'--psi'", "Not a truncation psi: 'nan'")),
    ("generate model.st --out x --seeds 0 --psi 1,0.5", 2, ("2 values of truncation psi", "one for each of 6 w")),
    ("generate model.st --out x --psi 0.5 --psi-cutoff 99", 2, ("--psi-cutoff 99 is out of range", "6 layers")),
    ("generate cond.st --out x", 2, ("conditional", "--class", "from 0 to 2", "random")),
    ("generate cond.st --out x --class tulip", 2, ("'tulip'", "no class names", "from 0 to 2")),
    ("generate cond.st --out x --class 3", 2, ("Class 3 is out of range", "0 to 2")),
    ("generate named.st --out x --class tulpi", 2, ("'tulpi'", "rose, tulip, lily")),
    ("generate named.st --out x", 2, ("--class", "rose, tulip, lily")),
    ("generate cond.st --out x --class random", 0, ()),
    ("generate model.st --out x --class 0", 2, ("unconditional", "remove --class")),
    # layers
    ("mix model.st --out x.png --rows 0 --cols 1 --layers course", 2, ("'--layers'", "coarse, middle, fine", "0-3,6")),
    ("mix model.st --out x.png --rows 0 --cols 1 --layers 7", 2, ("Layer 7", "--layers", "coarse, middle", "0 to 5")),
    ("mix model.st --out x.png --rows 0 --cols 1 --layers fine", 2, ("starts at layer 8", "coarse, middle, numbers")),
    ("mix model.st --out x.png --rows 0 --cols 1 --layers MIDDLE", 0, ()),
    ("mix progan.st --out x.png --rows 0 --cols 1", 2, ("one w for the whole image", "sgkit interpolate")),
    # directions and edits
    ("edit model.st --out x.png --seeds 0", 2, ("Nothing to do", "--move FILE:NAME=STRENGTH", "sgkit directions find")),
    ("edit model.st --out x.png --move up.safetensors=1", 2, ("No image to edit", "--seeds 0-3")),
    ("edit model.st --out x.png --seeds 0 --move up.safetensors", 2, ("Not a move: 'up.safetensors'", "FILE=STRENGTH")),
    ("edit model.st --out x.png --seeds 0 --move up.safetensors=far", 2, ("is not a number: 'far'", "2 or -1.5")),
    ("edit model.st --out x.png --seeds 0 --move up.safetensors=nan", 2, ("is not a number: 'nan'",)),
    ("edit model.st --out x.png --seeds 0 --move up.safetensors:down=1", 2, ("no direction 'down'", "Allowed: up.")),
    ("edit model.st --out x.png --seeds 0 --move upp.safetensors=1", 1, ("no direction file upp", "Did you mean")),
    ("edit model.st --out x.png --seeds 0 --move me.jpg=1", 1, ("Not a direction file: me.jpg is a JPEG image",)),
    ("edit model.st --out x.png --seeds 0 --move model.st=1", 1, ("without directions", "sgkit directions find")),
    ("edit progan.st --out x.png --seeds 0 --move up.safetensors=1", 2, ("a different model", "--any-model")),
    (
        "edit wide.st --out x.png --seeds 0 --move up.safetensors=1 --any-model",
        2,
        ("up.safetensors does not fit this model", "(w) have 8 numbers, the model needs 12"),
    ),
    ("edit model.st --out x.png --seeds 0 --channel b8_conv0=1", 2, ("Not a channel", "LAYER:CHANNEL=VALUE")),
    ("edit model.st --out x.png --seeds 0 --channel b8_conv9:0=1", 2, ("no styled layer 'b8_conv9'", "Did you mean")),
    ("edit model.st --out x.png --seeds 0 --channel b8_conv0:99=1", 2, ("no channel 99", "0 to 7 are allowed")),
    ("edit model.st --out x.png --seeds 0 --channel b8_conv0:0=1 --s-psi x", 2, ("Not a truncation in s: 'x'",)),
    ("edit model.st --out x.png --seeds 0 --channel b8_conv0:0=1 --mask box:1", 2, ("Not a shape",)),
    ("edit model.st --out x.png --seeds 0 --move up.safetensors=1 --layers 9", 2, ("Layer 9 is out of range",)),
    ("edit model.st --out old.png --seeds 0 --move up.safetensors=1", 1, ("old.png exists already", "--force")),
    (
        "edit up.safetensors --out x.png --seeds 0 --move up.safetensors=1",
        1,
        ("Not a model: up.safetensors is a file",),
    ),
    ("directions find model.st --out x.npz", 2, ("written as .safetensors", "x.safetensors")),
    ("directions find model.st --out x.safetensors --method svm", 2, ("--method", "'svm'", "sefa")),
    ("directions find model.st --out x.safetensors --method boundary", 2, ("needs labels", "--labels STORE")),
    ("directions find model.st --out x.safetensors --method boundary --labels store", 2, ("store has no labels",)),
    ("directions find model.st --out x.safetensors --method channels", 2, ("--mask box:", "give one of the two")),
    ("directions find model.st --out x.safetensors --method difference --plus 1", 2, ("two sides", "--minus LIST")),
    ("directions find progan.st --out x.safetensors --method pca", 2, ("no mapping network", "--features 8px")),
    ("directions list model.st", 1, ("Not a direction file: model.st", "without directions")),
    ("directions apply model.st --out x.png --seeds 0 --move up.safetensors=1", 2, ("written as .npz", "x.npz")),
    ("drag model.st --out x", 2, ("No points to drag", "--point 30,40:38,40")),
    ("drag model.st --out x --point 3,4", 2, ("'--point'", "Not a handle and its target: '3,4'", "X,Y:X,Y")),
    ("drag model.st --out x --point a,b:3,4", 2, ("Not a handle and its target", "from its left and top edge")),
    ("drag model.st --out x --point -3,4:5,4", 2, ("outside the image", "count from 0")),
    ("drag model.st --out x --point 3,4:3,4", 2, ("at its target already",)),
    ("drag model.st --out x --point 3,4:16,4", 2, ("target point 16,4 is outside the image", "16x16", "0 to 15")),
    ("drag model.st --out x --point 3,4:5,4 --seeds 0-3", 2, ("one image; 4 were given", "--seeds 3")),
    ("drag model.st --out x --point 3,4:5,4 --radius 0", 2, ("--radius is 0", "above 0")),
    ("drag model.st --out x --point 3,4:5,4 --layer 99px", 2, ("no layers that close a resolution of 99",)),
    ("drag model.st --out x --point 3,4:5,4 --frames 1", 2, ("--frames 1 is not an animation",)),
    ("drag model.st --out photos --point 3,4:5,4", 1, ("photos exists already", "--force")),
    # tuned weights
    ("tune model.st me.jpg --out x.safetensors", 1, ("Not a latent file: me.jpg", "sgkit project MODEL me.jpg")),
    ("tune model.st latent.npz --out x.safetensors", 1, ("no target.png beside it", "sgkit project MODEL IMAGE")),
    ("tune model.st latent.npz --out x.npz", 2, ("Unsupported extension '.npz'", ".safetensors")),
    ("tune model.st latent.npz --out x.safetensors --lr 0", 2, ("--lr is 0", "3e-4")),
    ("tune model.st latent.npz --out x.safetensors --loss nice", 2, ("'nice'", "features, pixels")),
    ("generate model.st+gone.st --out x", 1, ("There is no file of tuned weights gone.st", "sgkit tune")),
    ("generate model.st+me.jpg --out x", 1, ("Not a file of tuned weights: me.jpg is a JPEG image",)),
    ("generate model.st+wide.st --out x", 1, ("wide.st is a different .safetensors file", "sgkit tune")),
    ("generate gone.st+delta.safetensors --out x", 1, ("There is no model gone.st",)),
    ("generate delta.safetensors --out x", 1, ("Not a model: delta.safetensors", "MODEL+delta.safetensors")),
    (
        "generate wide.st+delta.safetensors --out x",
        1,
        ("delta.safetensors was tuned for a different model", "belongs to the one with the hash", "the given one has"),
    ),
    # encoders
    ("encoder train model.st --out x.npz", 2, ("Unsupported extension '.npz'", ".safetensors")),
    ("encoder train model.st --out x.safetensors --kimg many", 2, ("'many'", "50 or 50kimg")),
    ("encoder train model.st --out x.safetensors --data photos", 1, ("Not a store: photos is a folder of images",)),
    ("encoder train model.st --out delta.safetensors", 1, ("delta.safetensors exists already", "--force")),
    ("project model.st me.jpg --out x --encoder me.jpg", 1, ("Not an encoder: me.jpg is a JPEG image",)),
    ("project model.st me.jpg --out x --encoder gone", 1, ("There is no encoder gone", "sgkit encoder train")),
    ("project model.st me.jpg --out x --encoder model.st", 1, ("model.st is a different .safetensors file",)),
    ("project model.st me.jpg --out x --steps 0", 2, ("--steps 0", "--encoder FILE", "--starts N")),
    # classifiers
    ("classifier train store --out x.pt", 2, ("Unsupported extension '.pt'", ".safetensors")),
    ("classifier train store --out x.safetensors", 2, ("store has no labels", "--labels folders", "--labels FILE.csv")),
    ("classifier train me.jpg --out x.safetensors", 1, ("Not a store: me.jpg is a JPEG image",)),
    ("metrics model.st --metrics ls", 2, ("ls needs a classifier of images", "sgkit classifier train STORE")),
    ("metrics model.st --metrics ls --classifier wide.st", 1, ("Not a classifier: wide.st", "sgkit classifier train")),
    ("metrics photos --metrics ppl_wend_effnet", 1, ("measures a generator, but photos holds images",)),
    ("metrics model.st --metrics eqt50k_int", 2, ("only StyleGAN3 models have",)),
    # outputs
    ("generate model.st --out old.png", 1, ("old.png exists already", "--force")),
    ("mix model.st --out old.png --rows 0 --cols 1", 1, ("old.png exists already", "--force")),
    ("panorama model.st --out old.png", 1, ("old.png exists already", "--force")),
    ("interpolate model.st --out photos", 1, ("photos exists already", "--force")),
    ("interpolate model.st --out photos --frames 2 --seeds 0,1 --force", 1, ("photos was not overwritten",)),
    ("convert model.st old.png", 1, ("old.png exists already", "--force")),
    ("generate model.st --out x.tiff", 2, ("written as .png, .jpg", "x.png")),
    ("mix model.st --out x --rows 0 --cols 1", 2, ("'--out'", "does not end in one of .png", "x.png")),
    ("interpolate model.st --out x.avi", 2, (".avi", ".gif, .webp, .mp4")),
    ("convert model.st x.tflite", 2, ("Unsupported extension .tflite", ".npz, .onnx, .pt, .pt2, .safetensors")),
    ("convert model.st x.pt --form rossinality", 2, ("Did you mean 'rosinality'?", "native, nvidia, rosinality")),
    ("convert model.st x.pt --space w+", 2, ("--space chooses the inputs of an exported program", "Remove --space")),
    ("convert model.st x.pt2 --half", 2, ("--half has no effect here", "Remove --half")),
    ("generate model.st --out me.jpg/x", 1, ("me.jpg is not a folder",)),
    ("generate model.st --out photos --seeds 0 --grid 2x1", 2, ("--grid has no effect", "photos is a folder")),
    # other options
    ("generate model.st --out x --grid two", 2, ("'--grid'", "Not a grid: 'two'", "4x3")),
    ("generate model.st --out x.png --seeds 0-8 --grid 2x2", 2, ("2x2", "4", "9")),
    ("generate model.st --out x --device gpu", 2, ("Unknown device 'gpu'", "auto, cpu, cuda")),
    ("generate model.st --out x --precision half", 2, ("'--precision'", "'half'")),
    ("generate model.st --out x --batch 0", 2, ("'--batch'", "greater than or equal to 1")),
    ("generate model.st --out x --trunc 0.7", 2, ("No such option: --trunc. Use --psi.",)),
    ("generat model.st --out x", 2, ("No such command 'generat'", "Did you mean 'generate'?")),
    ("generate", 2, ("Missing", "'sgkit generate --help'")),
    ("project model.st photos/0.png --out x --space W", 2, ("'--space'", "'w', 'w+'")),
    ("project model.st page.png --out x", 1, ("page.png is a web page (HTML)",)),
    ("project model.st no.png --out x", 1, ("There is no file or folder no.png",)),
    ("panorama model.st --out x.png --wrap --seeds 0,1 --width 33", 2, ("multiple of",)),
    ("panorama model.st --out x.png --overlap 2", 2, ("'--overlap'", "less than or equal to 1")),
    # shapes and parts
    ("expand model.st --out x --seeds 0 --at middle", 2, ("'--at'", "Not a resolution: 'middle'", "8px")),
    ("expand model.st --out x --seeds 0 --factor 0x1", 2, ("'--factor'", "Not a factor: '0x1'", "2x1")),
    ("expand model.st --out x --seeds 0 --mode mirror", 2, ("'--mode'", "'reflect'", "'tile'", "'resize'")),
    ("expand model.st --out x --seeds 0 --right 3", 2, ("--right 3 is not a whole number", "Nearest: 2 or 4")),
    ("expand model.st --out x --seeds 0 --at 64px", 2, ("no layers that close a resolution of 64", "b16_rgb (16 px)")),
    ("expand model.st --out x --seeds 0 --repeat circle:1", 2, ("Unknown shape 'circle:1'", "box")),
    ("expand model.st --out x.tiff --seeds 0", 2, ("written as .png, .jpg", "x.png")),
    ("expand model.st --out old.png --seeds 0", 1, ("old.png exists already", "--force")),
    ("expand cond.st --out x --seeds 0", 2, ("conditional", "--class", "from 0 to 2")),
    ("blend model.st --out x.png --seeds 0", 2, ("two images or more; 1 was given", "0,1")),
    ("blend model.st --out x.png --seeds 0,1 --shape box:8,8,12,12", 2, ("outside the picture", "Divide pixels")),
    ("blend model.st --out x.png --seeds 0,1 --shape box:0.5,0.5,12,12", 2, ("far outside", "divide pixels")),
    ("blend model.st --out x.png --seeds 0,1 --shape box:0.8,0,0.2,1", 2, ("is empty", "left, top, right, bottom")),
    ("blend model.st --out x.png --seeds 0,1 --shape no.png", 1, ("There is no mask no.png", "white")),
    ("blend model.st --out x.png --seeds 0,1 --shape mask:photos", 1, ("Not a mask: photos is a folder of images",)),
    ("blend model.st --out x.png --seeds 0,1 --shape wide.png", 2, ("wide.png is 32x16", "proportions are 1:1")),
    ("blend model.st --out x.png --seeds 0,1 --shape black.png", 1, ("black.png is black all over", "white")),
    ("blend model.st --out x.png --seeds 0,1 --shape 3=all:0.5", 2, ("for image 3, and there are 2",)),
    ("blend model.st --out x.png --seeds 0-2 --shape all:0.5", 2, ("Image 3 (seed0002) has no shape", "--shape 3=")),
    ("blend model.st --out x.png --seeds 0,1 --layers corse", 2, ("Unknown layers 'corse'", "'coarse'")),
    ("blend model.st --out x.png --seeds 0,1 --layers b9_conv1", 2, ("no layer 'b9_conv1'", "'b4_conv1'")),
    ("blend model.st --out x.png --seeds 0,1 --layers 9", 2, ("Layer 9 is out of range", "6 layers", "0-3,5")),
    ("blend model.st --out x.png --seeds 0,1 --layers 'from 64px'", 2, ("no layers from 64 pixels on", "Allowed: all")),
    ("blend model.st --out x.png --seeds 0,1 --mode collage", 2, ("'--mode'", "'blend', 'suzuki'")),
    ("blend model.st --out x.png --seeds 0-2 --blend soat", 2, ("--blend soat is for two images",)),
    ("blend cond.st --out x.png --seeds 0-2 --classes 0,1", 2, ("2 classes for 3 images", "one for each")),
    ("shift model.st --out x --random 2", 2, ("No image was given", "--seeds", "--photo")),
    ("shift model.st --out x --photo page.png --random 2", 1, ("page.png is a web page (HTML)",)),
    ("shift model.st --out x --seeds 0", 2, ("Nothing would be moved", "--copy", "--random 8")),
    ("shift model.st --out x --seeds 0 --copy box:0,0,0.5,1", 2, ("Not a part to copy", "by X,Y")),
    ("shift model.st --out x --seeds 0 --move 'box:0,0,0.5,1 by 2,0'", 2, ("out of the picture", "-1 and 1")),
    ("shift model.st --out x --seeds 0 --swap 'me.jpg to 0,0'", 2, ("no left and top edge", "by X,Y")),
    (
        "shift model.st --out x --seeds 0 --softness 0 --at 4px --copy 'box:0.4,0.4,0.45,0.45 by 0.2,0'",
        2,
        ("covers none of the 4x4 pixels", "finer resolution"),
    ),
    ("shift model.st --out x --seeds 0 --random 2 --parts-of 1,2", 2, ("Parts are taken from one image; 2",)),
    (
        "metrics store --data photos --metrics fdi",
        2,
        ("Unknown metric 'fdi'", "Did you mean 'fid'?"),
    ),
    ("metrics store --data no", 1, ("There is no file or folder no",)),
    ("weights fetch inception", 2, ("Unknown weights 'inception'", "inception-2015-12-05")),
    ("data info photos", 1, ("Not a store: photos is a folder of images", "sgkit prepare photos")),
    ("data info me.jpg", 1, ("Not a store: me.jpg is a JPEG image",)),
    ("data export store --out x --form nvida", 2, ("Did you mean 'nvidia'?", "folder, nvidia, rosinality")),
    ("data merge store --out x", 1, ("two stores or more",)),
    ("metrics store --data photos --metrics fid_full", 2, ("'fid_full': it is called 'fid' here",)),
    ("data info store --force", 2, ("--force has no effect here", "--pictures")),
    ("mix model.st --out x.png --rows 0 --cols photos", 1, ("a folder of images", "sgkit project MODEL photos")),
    ("generate cond.st --out x --class 0-7", 2, ("Class 3 is out of range", "0 to 2")),
    ("project cond.st me.jpg --out x --class 0,1,0", 2, ("'0,1,0' names 3 classes", "1.0")),
    ("generate model.st --out x --translate 0.3", 2, ("'--translate'", "RIGHT,DOWN", "0.3,0")),
    ("generate model.st --out x --rotate 10", 2, ("--rotate has no effect here", "StyleGAN3")),
    ("generate model.st --out x.png --format jpg", 2, ("--format has no effect here", "x.png chooses the format")),
    ("generate model.st --out x --format tiff", 2, ("'--format'", "'png', 'jpg', 'webp'")),
    ("generate model.st --out x -q -v", 2, ("--quiet and --verbose contradict",)),
    ("panorama model.st --out x.gif", 2, (".gif", ".jpg", "--pan x")),
    ("panorama model.st --out x.jpg --tile 16", 2, (".jpg cannot be written tile by tile",)),
    ("interpolate model.st --out x.png", 2, (".png", ".gif, .webp, .mp4")),
    ("replay me.jpg", 1, ("me.jpg carries no scene", "original file")),
    ("replay photos/0.png --set psi=0.5", 1, ("carries no scene",)),
    ("train store --out x --set train.gamma=1 --preset stylegan2-mini", 2, ("train.gamma", "train.r1_gamma")),
    ("train store --out x --preset stylegan2-minni", 2, ("Unknown preset", "stylegan2-mini")),
    ("train model.st --out x", 1, ("Not a store: model.st", "model")),
    ("train store --out x --metrics fdi --preset stylegan2-mini", 2, ("Unknown metric 'fdi'",)),
    ("prepare photos --out x --size 60", 2, ("60", "--any-size")),
    ("prepare photos --out x --size 16 --crop middle", 2, ("Unknown crop 'middle'", "center, wide, none")),
    ("prepare no --out x --size 16", 1, ("There is no file or folder no",)),
    ("edit model.st --out x.png --seeds 0 --move age=1", 1, ("age", "sgkit directions find")),
    ("schema inf", 2, ("inf", "info")),
    ("gen_images.py --network=x", 2, ("Use: sgkit generate",)),
    ("info no.pkl", 1, ("There is no file or folder no.pkl",)),
]


def tiny(**changes: Any) -> Model:
    config = ModelConfig(
        image_size=(16, 16),
        z_dim=8,
        w_dim=changes.pop("w_dim", 8),
        mapping=MappingConfig(num_layers=1),
        synthesis=SynthesisConfig(channel_base=64, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=64, channel_max=8),
        **changes,
    )
    return build(config)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the rows name."""
    folder = tmp_path_factory.mktemp("mistakes")
    named = tiny(label_dim=3)
    named.info = ModelInfo(provenance={"class_names": ["rose", "tulip", "lily"]})
    small = {"synthesis.channel_base": 64, "synthesis.channel_max": 8, "z_dim": 8, "w_dim": 8}
    progan = build(override(preset("progan", image_size=(16, 16)).model, small))
    models = {"model": tiny(), "cond": tiny(label_dim=3), "named": named, "progan": progan, "wide": tiny(w_dim=12)}
    facts = {"names": ("up",), "signs": ("",), "method": "test", "model_hash": models["model"].content_hash()}
    save_directions(unit({"w": torch.ones(1, 8)}, space="w", **facts), folder / "up.safetensors")
    for name, model in models.items():
        sgkit.save(model, folder / f"{name}.safetensors")
        (folder / f"{name}.safetensors").rename(folder / f"{name}.st")
    (folder / "photos").mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{index}.png")
    Image.fromarray(pixels).save(folder / "me.jpg")
    Image.new("L", (32, 16), 255).save(folder / "wide.png")
    Image.new("L", (16, 16)).save(folder / "black.png")
    for name in ("page.pkl", "page.png"):
        (folder / name).write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    (folder / "pointer.pkl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "empty.pkl").touch()
    (folder / "old.png").write_bytes(b"precious")
    save_latents(Latents(space="w", values={"w": torch.zeros(1, 8)}), folder / "latent.npz")
    save_delta(models["model"], build(models["model"].config, seed=1), folder / "delta.safetensors")
    assert main(["prepare", str(folder / "photos"), "--size", "16", "--out", str(folder / "store")]) == 0
    return folder


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_a_mistake_is_answered(
    mistake: tuple[str, int, tuple[str, ...]],
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line, code, pieces = mistake
    for entry in files.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    found = main(shlex.split(line))
    shown = capsys.readouterr().err
    assert found == code, shown
    for piece in pieces:
        assert piece in shown
    assert "Traceback" not in shown
    assert "This is a bug" not in shown
    assert (files / "old.png").read_bytes() == b"precious"
    if code:
        assert {entry.name for entry in tmp_path.iterdir()} == {entry.name for entry in files.iterdir()}
