"""Files of tensors under a header, which sgkit writes in several kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from sgkit.runtime.files import atomic_path, utf8_name


def write_safetensors(tensors: Mapping[str, Tensor], path: Path, *, key: str, header: Mapping[str, Any]) -> None:
    """Write ``tensors``, contiguous ones, with ``header`` as JSON under ``key`` of the file's metadata."""
    with atomic_path(path) as temporary, utf8_name(temporary) as name:
        save_file(dict(tensors), name, metadata={key: json.dumps(dict(header), sort_keys=True)})
