"""Names of files: which of them are images, and which belong to the operating system."""

from __future__ import annotations

import re

_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .apng .webp .tif .tiff .bmp .dib .gif .avif .heic .heif .hif .ppm .pgm .pbm"
_SUFFIXES += " .pnm .jp2 .j2k .jpx .tga .ico .psd .dds .pcx .sgi"
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())
"""Files with these extensions are images, whatever their content; of all others the content decides."""

RAW_SUFFIXES = frozenset([".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"])
"""Camera raw files: most are TIFF files whose first image is a thumbnail."""
SYSTEM_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", ".nomedia", ".localized", "icon\r"}
    | {"__macosx", "@eadir", "$recycle.bin", "system volume information", ".picasa.ini", "lock.mdb"}
)
"""Files and folders that operating systems and photo programs leave, in lower case."""
_SUFFIX = re.compile(r".+(\.\w+)(?:[?#].*)?", re.DOTALL)


def suffix_of(name: str) -> str:
    """The extension in lower case, with its dot: ``.jpg`` of ``a.JPG``, and of ``a.jpg?x=1`` from a web address."""
    base = name.rsplit("/", 1)[-1]
    if "." not in base[1:]:
        return ""
    match = _SUFFIX.fullmatch(base)
    return match[1].lower() if match else ""


def has_image_suffix(name: str) -> bool:
    """Whether a file's name ends as images' names do."""
    return suffix_of(name) in IMAGE_SUFFIXES


def is_image_name(name: str) -> bool:
    """Whether a file of this name is an image: a known extension, and neither hidden nor the system's."""
    return has_image_suffix(name) and not skip_reason(name)


def skip_reason(name: str) -> str:
    """Why a file of this name is never looked at: ``system file``, ``hidden`` or ``camera raw``; ``""`` otherwise."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    if any(part.lower() in SYSTEM_NAMES or part.startswith("._") for part in parts):
        return "system file"
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return "camera raw" if suffix_of(name) in RAW_SUFFIXES else ""
