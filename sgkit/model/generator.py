"""The generator: mapping and synthesis together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.mapping import Mapping
from sgkit.model.noise import NoiseSource
from sgkit.model.synthesis import Synthesis


class Generator(nn.Module):
    """G: z -> image, through w+ and s."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(
            config.mapping, z_dim=config.z_dim, label_dim=config.label_dim, w_dim=config.w_dim, num_ws=self.num_ws
        )

    def grow(self, lod: float, *, enlarged: bool = True) -> None:
        """Set how far the network has grown: see :meth:`sgkit.model.Synthesis.grow`."""
        self.synthesis.grow(lod, enlarged=enlarged)

    def forward(
        self,
        z: Tensor | None,
        label: Tensor | None = None,
        *,
        truncation_psi: float | Sequence[float] = 1.0,
        truncation_cutoff: int | None = None,
        noise: str | NoiseSource = "const",
    ) -> Tensor:
        """Images [N, C, H, W], about -1 to 1, for ``z`` [N, z_dim] and ``label`` [N, label_dim]."""
        ws = self.mapping(z, label, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self.synthesis(ws, noise=noise)  # type: ignore[no-any-return]
