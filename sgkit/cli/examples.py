"""The examples at the end of every ``--help``: (what it does, the line) by command. The tests parse every line."""

from __future__ import annotations

NIGHT = (
    "sgkit directions find landscapes --method difference \\\n  --plus-class summer-night --minus-class summer-day "
    "--out night.safetensors"
)
ENCODER = "sgkit encoder train run --out encoder.safetensors"
SEFA = "sgkit directions find landscapes --out sefa.safetensors"
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        (
            "sixteen images of the packaged model, in one file",
            "sgkit generate landscapes --class random --out grid.png",
        ),
        ("what a file or folder is", "sgkit info FILE"),
        ("the options of a command, with examples", "sgkit train --help"),
    ),
    "prepare": (
        ("photos of a folder, cut to squares of 128 pixels", "sgkit prepare photos --size 128 --out store"),
        ("each subfolder becomes a class", "sgkit prepare photos --size 128 --labels folders --out store"),
        ("faces, aligned by their landmarks", "sgkit prepare faces.zip --size 256 --crop face --out store"),
        ("without photos: painted landscapes", "sgkit prepare sample:landscapes?count=2000 --size 64 --out store"),
    ),
    "data": (("counts, sizes and labels of a store", "sgkit data info store"),),
    "data info": (("with a contact sheet to look at", "sgkit data info store --pictures sheets"),),
    "data verify": (("after a crash or a copy", "sgkit data verify store"),),
    "data export": (
        ("PNG files in a folder", "sgkit data export store --out images"),
        ("a data set for NVIDIA's tools", "sgkit data export store --form nvidia --out data.zip"),
    ),
    "data merge": (("two stores of one size", "sgkit data merge flowers birds --out both"),),
    "data diff": (("whether two stores hold the same images", "sgkit data diff store copy"),),
    "train": (
        ("train, and watch the report in the browser", "sgkit train store --out run --open"),
        ("continue after a stop", "sgkit train store --out run --resume"),
        ("from the weights of another model", "sgkit train store --out run --init landscapes"),
        ("how long it would take, without training", "sgkit train store --dry-run"),
        ("change one setting", "sgkit train store --out run --set train.r1_gamma=5"),
    ),
    "generate": (
        ("sixteen images of random classes, in one file", "sgkit generate landscapes --class random --out grid.png"),
        ("one file for each seed", "sgkit generate run --seeds 0-99 --psi 0.7 --out images"),
        ("one class by name, as JPEG", "sgkit generate landscapes --class winter-night --out night.jpg"),
        (
            "four seeds (rows) in every class (columns)",
            "sgkit generate landscapes --seeds 0-3 --class all --out a.png",
        ),
        ("a projected photo", "sgkit generate run --latent projected/me --out me.png"),
    ),
    "mix": (
        ("coarse styles of the columns' images", "sgkit mix run --rows 0-3 --cols 4-8 --psi 0.7 --out mix.png"),
        (
            "a projected photo with the colours of seeds",
            "sgkit mix run --rows projected/me --cols 1-4 --layers fine --out me.png",
        ),
    ),
    "interpolate": (
        ("a loop through four images", "sgkit interpolate run --seeds 0-3 --loop --out walk.webp"),
        (
            "a year: one seed through four classes",
            "sgkit interpolate landscapes --seeds 0 --loop --out year.webp \\\n"
            "      --class spring-day,summer-day,autumn-day,winter-day",
        ),
        ("four at once, as video", "sgkit interpolate run --seeds 0-11 --grid 2x2 --out walk.mp4"),
    ),
    "project": (
        ("find a photo in the model's space", "sgkit project run me.jpg --out projected"),
        ("then use it like a seed", "sgkit mix run --rows projected/me --cols 0-3 --out mix.png"),
        (
            "at once, by an encoder, without a search",
            "sgkit project run photos --encoder encoder.safetensors --steps 0 --out found",
        ),
        ("all photos of a folder, closer to them", "sgkit project run photos --space w+ --out projected"),
    ),
    "encoder": (("an encoder for a model", ENCODER),),
    "encoder train": (
        ("an encoder for a model, by the model's own images", ENCODER),
        (
            "one w for each layer, with real images for half of each batch",
            "sgkit encoder train run --data store --space w+ --out plus.safetensors",
        ),
        ("at most an hour; the same command continues", f"{ENCODER} --max-time 1h"),
    ),
    "tune": (
        (
            "a photo, exactly: project it, tune the model to it",
            "sgkit project run me.jpg --out projected\n  sgkit tune run projected/me --out me.safetensors",
        ),
        (
            "edit it with the directions of the model that was tuned",
            "sgkit edit run+me.safetensors --latent projected/me \\\n  --move sefa.safetensors:0=2 --out edited.png",
        ),
        ("all photos of a folder in one small file", "sgkit tune run projected --rank 8 --out all.safetensors"),
    ),
    "directions": (("ten directions of a model, by its weights", SEFA),),
    "directions find": (
        ("ten directions, by the weights of the layers (SeFa)", SEFA),
        ("from day to night, by classes", NIGHT),
        (
            "principal components of features (GANSpace)",
            "sgkit directions find run --method pca --features 16px \\\n  --out pca.safetensors",
        ),
        (
            "an attribute that a labelled store teaches",
            "sgkit directions find run --method boundary --labels store \\\n  --out smile.safetensors",
        ),
        (
            "style channels that change only the mouth",
            "sgkit directions find run --method channels \\\n  --mask box:0.3,0.65,0.7,0.85 --out mouth.safetensors",
        ),
    ),
    "directions list": (("names, steps, what they explain", "sgkit directions list sefa.safetensors"),),
    "directions apply": (
        (
            "latents for other commands",
            "sgkit directions apply run --seeds 0-3 \\\n  --move sefa.safetensors:0=2 --out moved.npz",
        ),
    ),
    "drag": (
        (
            "what is at (64, 90) moves 12 pixels to the right",
            "sgkit drag landscapes --seeds 9 --class 5 --point 64,90:76,90 --out drag",
        ),
        (
            "two points of a projected photo, the rest stays",
            "sgkit drag run --seeds projected/me/latent.npz --point 20,44:17,42 \\\n  --point 44,44:47,42 "
            "--mask box:0.2,0.5,0.8,0.9 --out smile",
        ),
        ("then use the result like a seed", "sgkit generate run --latent smile/latent.npz --out smile.png"),
    ),
    "edit": (
        (
            "from day to night in four steps",
            "sgkit edit landscapes --seeds 0,4 --class 5 \\\n  --move night.safetensors=1 --out night.png",
        ),
        (
            "a slider, there and back",
            "sgkit edit run --seeds 0 --move sefa.safetensors:0=3 --both \\\n  --out slider.gif",
        ),
        (
            "a projected photo, only in one place",
            "sgkit edit run --latent projected/me --move smile.safetensors=2 \\\n  --mask box:0.3,0.6,0.7,0.9,0.1 "
            "--out smile.png",
        ),
    ),
    "panorama": (
        ("twelve images side by side", "sgkit panorama landscapes --seeds 0-11 --class 5 --out wide.png"),
        ("360 degrees", "sgkit panorama landscapes --seeds 0-7 --class 5 --wrap --out ring.png"),
        ("a very long one, to zoom in", "sgkit panorama landscapes --seeds 0-499 --class 5 --out long.dzi"),
        ("a flight over it", "sgkit panorama landscapes --seeds 0-7 --class 5 --pan x --out flight.mp4"),
        ("a texture that tiles", "sgkit panorama landscapes --endless 7 --grid 3x3 --wrap both --out texture.png"),
        (
            "paint a map, get a world",
            "sgkit panorama landscapes --map map.png \\\n  --legend white=winter-day,green=summer-day --out world.png",
        ),
    ),
    "expand": (
        ("twice as wide, reflected", "sgkit expand landscapes --seeds 3 --class 5 --out wide.png"),
        (
            "to one side only",
            "sgkit expand landscapes --seeds 3 --class 5 --right 64 --mode replicate \\\n      --out right.png",
        ),
        (
            "one bush becomes a hedge",
            "sgkit expand landscapes --seeds 3 --class 5 \\\n      --repeat box:0,0.4,0.3,1 --times 5 --out hedge.png",
        ),
    ),
    "blend": (
        ("left and right", "sgkit blend landscapes --seeds 0,3 --class 5 --out blend.png"),
        ("summer on the left, winter on the right", "sgkit blend landscapes --seeds 3,3 --classes 5,13 --out year.png"),
        (
            "the second image in a round place",
            "sgkit blend landscapes --seeds 0,3 --class 5 --shape radial:0.5,0.6,0.2,0.5 \\\n      --out round.png",
        ),
    ),
    "shift": (
        (
            "a second tree on the right",
            "sgkit shift landscapes --seeds 3 --class 5 \\\n      --copy 'box:0,0.3,0.3,0.8 by 0.6,0' --out trees.png",
        ),
        ("eight random variants", "sgkit shift landscapes --seeds 3 --class 5 --random 8 --out variants.png"),
        ("of a photo", "sgkit shift landscapes --photo photo.png --class 5 --random 8 --out photo8.png"),
    ),
    "transfer": (
        (
            "the eyes of seed 7 for the face of seed 3",
            "sgkit transfer run --source 3 --reference 7=eyes --out eyes.png",
        ),
        (
            "another half face, in the same pose",
            "sgkit transfer run --source 3 --reference 7=ramp:x,0.5,0.6 --out halves.png",
        ),
        (
            "a region by style channels",
            "sgkit transfer run --source 3 --reference 7=mouth --mode collins --out m.png",
        ),
    ),
    "translate": (
        ("faces as the target draws them", "sgkit translate faces run --seeds 0-3 --show-inputs --out other.png"),
        (
            "from one to the other in steps",
            "sgkit translate faces run --seeds 3 --alpha 0,0.25,0.5,0.75,1 --out strip.png",
        ),
        ("coarse layers of the target only", "sgkit translate faces run --seeds 0-3 --mode swap --out toon.png"),
    ),
    "replay": (
        ("the same image again", "sgkit replay grid.png"),
        ("with other settings", "sgkit replay grid.png --set psi=0.5 --out calm.png"),
        ("what is recorded in it", "sgkit replay grid.png --show"),
    ),
    "metrics": (
        ("a model against its training data", "sgkit metrics run --data store"),
        ("FID of 50,000 images (downloads Inception)", "sgkit metrics run --data store --metrics fid"),
        ("how visible the joins of a panorama are", "sgkit metrics seams panorama.png"),
        ("two folders of images", "sgkit metrics photos --data others --metrics kd_effnet"),
        ("every snapshot of a run, afterwards", "sgkit metrics run --all-snapshots --metrics fid50k_full"),
        ("statistics to compare with later", "sgkit metrics store --metrics fid --save-statistics store.npz"),
        ("faces of projections against their photos", "sgkit metrics projected --metrics identity"),
        ("all metrics", "sgkit metrics list"),
        ("what is kept between runs", "sgkit metrics cache list"),
    ),
    "classifier": (("of the labels of a store", "sgkit classifier train store --out c.safetensors"),),
    "classifier train": (
        ("of the labels of a store", "sgkit classifier train store --out c.safetensors"),
        (
            "folders named 4.1 (decade and sex): two attributes",
            "sgkit classifier train store --attributes age,sex \\\n  --out c.safetensors",
        ),
        (
            "then measure how separable they are in z and in w",
            "sgkit metrics run --metrics ls --classifier c.safetensors \\\n  --num-images 10000",
        ),
    ),
    "weights": (("what there is, and its licence", "sgkit weights list"),),
    "weights list": (("what there is, and its licence", "sgkit weights list"),),
    "weights fetch": (
        ("download before going offline", "sgkit weights fetch inception-2015-12-05"),
        ("all that a loss needs", "sgkit weights fetch lpips"),
        ("from a mirror", "sgkit weights fetch lpips --mirror https://mirror.example/weights"),
    ),
    "weights add": (("a file from elsewhere", "sgkit weights add pt_inception-2015-12-05-6726825d.pth"),),
    "weights path": (("where the file is kept", "sgkit weights path inception-2015-12-05"),),
    "weights verify": (("check the downloads", "sgkit weights verify"),),
    "models": (("what there is", "sgkit models"),),
    "demo": (("then open demo/index.html", "sgkit demo"), ("in another folder", "sgkit demo --out tour")),
    "info": (
        ("a model: its layers and where it is from", "sgkit info landscapes"),
        ("an image: how it was made", "sgkit info grid.png"),
    ),
    "convert": (
        ("a checkpoint of NVIDIA's tools", "sgkit convert ffhq.pkl ffhq.safetensors"),
        ("for programs that read rosinality's format", "sgkit convert run model.pt"),
        ("half the size", "sgkit convert run small.safetensors --half"),
    ),
    "schema": (("what info --json prints", "sgkit schema info"),),
    "doctor": (("what this machine can do", "sgkit doctor"),),
}
"""Command, as it is called without ``sgkit`` (empty: ``sgkit`` itself) -> its examples."""
