"""The feature networks as a table, in a module that loads nothing."""

from typing import Literal, NamedTuple

Resize = Literal["none", "area", "bicubic", "tensorflow1", "face"]


class NetworkRow(NamedTuple):
    """A network whose features sgkit compares: what it reads, and what of it is taken."""

    name: str
    """Of the loss, or of the extractor of metrics."""
    network: str
    weights: tuple[str, ...]
    """Names of :data:`sgkit.weights.WEIGHTS`; empty where a package brings them."""
    extra: str
    """The extra of sgkit that it needs; empty: none."""
    size: int | None
    """Side of the images that it reads; ``None``: as they are, or the model's."""
    resize: Resize
    """How images of other sizes get there. ``area``: only larger ones; ``face``: the square of the face is cut out."""
    smallest: int
    """Least side of an image."""
    range: str
    """What pixels of 0 to 255 become."""
    layers: str
    dim: int
    """Numbers for an image; for distances over places, channels compared at each; 0: depends on the model."""
    licence: str


_IMAGENET = "x/255, minus ImageNet's mean, over its deviation"
_TORCHVISION = "weights BSD-3-Clause, LPIPS BSD-2-Clause"
_VGG_LAYERS = "relu1_2, relu2_2, relu3_3, relu4_3, relu5_3"

NETWORKS: dict[str, NetworkRow] = {
    row.name: row
    for row in (
        NetworkRow(
            "inception", "Inception-v3 of 2015-12-05", ("inception-2015-12-05",), "", 299, "tensorflow1", 1,
            "(x - 128)/128", "pool_3", 2048, "Apache-2.0",
        ),
        NetworkRow(
            "effnet", "EfficientNet-Lite0", (), "offline", 224, "bicubic", 1,
            "(x - 127)/128", "the last of each resolution; metrics: the pooled last one", 1280, "Apache-2.0",
        ),
        NetworkRow(
            "lpips", "VGG16 with the weights of LPIPS", ("vgg16", "lpips-vgg-heads"), "", None, "none", 16,
            _IMAGENET, _VGG_LAYERS, 1472, _TORCHVISION,
        ),
        NetworkRow(
            "lpips-alex", "AlexNet with the weights of LPIPS", ("alexnet", "lpips-alex-heads"), "", None, "none", 31,
            _IMAGENET, "relu1 to relu5", 1152, _TORCHVISION,
        ),
        NetworkRow(
            "lpips-squeeze", "SqueezeNet 1.1 with the weights of LPIPS", ("squeezenet1_1", "lpips-squeeze-heads"), "",
            None, "none", 17, _IMAGENET, "relu1, fire2, fire4 to fire8", 2240, _TORCHVISION,
        ),
        NetworkRow(
            "vgg", "VGG16 of StyleGAN2-ADA, with the weights of LPIPS", ("nvidia-vgg16",), "", 256, "area", 16,
            _IMAGENET, _VGG_LAYERS, 1472, "NVIDIA Source Code License",
        ),
        NetworkRow(
            "vgg16", "VGG16 of StyleGAN2-ADA's metrics", ("nvidia-vgg16",), "", 224, "tensorflow1", 1,
            _IMAGENET, "fc2", 4096, "NVIDIA Source Code License",
        ),
        NetworkRow(
            "clip", "CLIP ViT-L/14", ("clip-vit-l-14-336",), "vit", 336, "bicubic", 1,
            "x/255, minus CLIP's mean, over its deviation", "image embedding, of length 1", 768, "MIT",
        ),
        NetworkRow(
            "dinov2", "DINOv2 ViT-L/14", ("dinov2-vit-l-14",), "vit", 224, "bicubic", 1,
            _IMAGENET, "class token", 1024, "Apache-2.0",
        ),
        NetworkRow(
            "d", "the discriminator of the measured model", (), "", None, "bicubic", 1,
            "x/127.5 - 1", "the last before the head, averaged", 0, "the model's",
        ),
        NetworkRow(
            "identity", "dlib's ResNet for faces", (), "faces", 150, "face", 16,
            "(x - (122.782, 117.001, 104.298))/256", "the last one", 128, "CC0-1.0",
        ),
    )
}  # fmt: skip
"""Name of the loss or extractor -> what it reads and gives."""
