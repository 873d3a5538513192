"""The kinds of files that images and videos are written as, by their names; nothing heavy is imported."""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path
from typing import Any

from sgkit.errors import MissingDependencyError, UsageError

FILMS = (".gif", ".webp", ".mp4")
"""Extensions of animations that are one file."""
STILLS = (".png", ".jpg", ".jpeg", ".webp")
"""Extensions of images that are written whole."""
STREAMED = (".png", ".tif", ".tiff", ".dzi")
"""Extensions of images that can be larger than memory; .dzi stands for a folder, as does a name that ends in _dzi."""
PNG_SETTINGS: dict[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""How every PNG file is compressed: runs only, no search for repeats. Four times as fast as Pillow's own settings;
photos of 256 pixels become 2% smaller, of 1024 pixels 1% larger."""
INSTALL_VIDEO = "Install it with: pip install 'stylegan-sgkit[video]'"


def check_streamed(path: Path, *, whole: bool = False) -> None:
    """Refuse a name that stands for no kind of file that can be written tile by tile, or with ``whole`` at once.

    Raises:
        UsageError: the extension is not one of ``STREAMED`` (``whole``: or ``STILLS``), and the name does not end in
            ``_dzi``.
        MissingDependencyError: BigTIFF without tifffile.
    """
    suffix = path.suffix.lower()
    if suffix not in (*STREAMED, *(STILLS if whole else ())) and not path.name.endswith("_dzi"):
        hint = " For a video of a moving view, add --pan x." if suffix in FILMS else ""
        stills = ", ".join(STILLS) if whole else ".png"
        hint = f" {suffix} cannot be written tile by tile." if suffix in STILLS else hint
        raise UsageError(
            f"Unsupported extension {path.suffix or '(none)'} of --out {path.name}. Use {stills}, .tif (BigTIFF), "
            f".dzi or a name that ends in _dzi (a deep-zoom folder with a page to look at).{hint}"
        )
    if suffix in (".tif", ".tiff") and importlib.util.find_spec("tifffile") is None:
        raise MissingDependencyError(
            "Writing BigTIFF needs the package tifffile, which is not installed. Install it with: "
            "pip install 'stylegan-sgkit[large]'; or use .png or .dzi, which do not need it."
        )


def is_frame_folder(path: Path) -> bool:
    """Whether :func:`sgkit.render.video.write_animation` makes a folder of frames at ``path``, by its suffix."""
    return path.suffix.lower() not in FILMS


def check_animation(path: Path, *, fps: float) -> None:
    """Refuse what :func:`sgkit.render.video.write_animation` cannot write, before the frames are made.

    Raises:
        UsageError: the suffix is of no known kind, or the rate is out of range.
        MissingDependencyError: MP4 without PyAV.
    """
    if path.suffix and is_frame_folder(path) and not path.is_dir():
        raise UsageError(
            f"Unsupported extension {path.suffix} of --out {path.name}. Use {', '.join(FILMS)}, or a name without "
            "extension for a folder of PNG files."
        )
    if not 0 < fps <= 100:
        raise UsageError(f"{fps:g} frames per second is out of range. Use --fps above 0 and up to 100.")
    if path.suffix.lower() == ".mp4" and importlib.util.find_spec("av") is None:
        raise MissingDependencyError(
            f"Writing MP4 needs the package av, which is not installed. {INSTALL_VIDEO}; or use .webp, .gif or "
            "a folder of frames, which do not need it."
        )
