"""Options that name regions: shapes, and parts of a face; what is wrong with them is said before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli.options import parse_existing
from sgkit.cli.shapes import parse_shape
from sgkit.config.regions import FACE_PARTS, Region, parse_region, read_part_table
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sgkit.cli.given import Given
    from sgkit.render.parts import Segmentation

SegmentationOption = Annotated[
    Path | None,
    typer.Option(
        "--segmentation",
        parser=parse_existing,
        metavar="FILE",
        help="Image whose pixels are numbers of parts; names in regions are then those of --part-table.",
    ),
]
PartTableOption = Annotated[
    Path | None,
    typer.Option(
        "--part-table",
        parser=parse_existing,
        metavar="FILE.json",
        help='The numbers of each part in the --segmentation, for example {"eyes": [4, 5], "hair": 17}.',
    ),
]
SoftnessOption = Annotated[
    float,
    typer.Option(
        "--softness",
        min=0.0,
        max=1.0,
        metavar="FRACTION",
        help="Width of the soft edge of regions that have none of their own, as a fraction of the image.",
    ),
]
PARTS_ADVICE = "give the region as a shape, such as box:0.3,0.6,0.7,0.9, or by --segmentation."


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """What names in regions mean, and how soft their edges are."""

    softness: SoftnessOption = 0.1
    segmentation: SegmentationOption = None
    part_table: PartTableOption = None

    def check(self, texts: Iterable[str], given: Given) -> list[Region]:
        """The regions, if they can be found: known parts, image files that are there, and landmarks if needed.

        Raises:
            UsageError: a region is not one, or a segmentation and its table are not given together.
            InputError: an image file is not there, or the table is not one.
            MissingDependencyError: parts need the extra ``faces``, which is not installed.
        """
        given.refuse("part_table", when=self.segmentation is None, because="it is for --segmentation")
        if self.segmentation is not None and self.part_table is None:
            raise UsageError(
                "--segmentation needs --part-table, a JSON file that says which numbers each part has, for example "
                '{"eyes": [4, 5], "hair": 17}.'
            )
        known = tuple(read_part_table(self.part_table)) if self.part_table is not None else FACE_PARTS
        regions = [parse_region(text, known) for text in texts]
        for region in regions:
            if region.shape is not None:
                parse_shape(region.shape)
        has_parts = any(region.parts for region in regions)
        given.refuse("segmentation", when=not has_parts, because="no region names a part")
        if has_parts and self.segmentation is None:
            from sgkit.store.images.faces import DlibLandmarker

            DlibLandmarker(otherwise=PARTS_ADVICE)
        return regions

    def open(self) -> Segmentation | None:
        """The segmentation of ``--segmentation`` and ``--part-table``."""
        if self.segmentation is None or self.part_table is None:
            return None
        from sgkit.render.parts import segmentation_of

        return segmentation_of(self.segmentation, read_part_table(self.part_table))
