"""What a store's header says about its labels and files, in words."""

from __future__ import annotations

from collections.abc import Sequence

from sgkit.store.header import Header, LabelSchema, size_text

MOST_LISTED = 12
"""Classes that are all listed; of more, the ends are."""
ENDS = 5


def counted(counts: dict[str, int]) -> str:
    """``3 (2 empty, 1 truncated)``; ``0`` for none."""
    reasons = ", ".join(
        f"{count:,} {reason}{'s' if reason.endswith('file') and count != 1 else ''}" for reason, count in counts.items()
    )
    return f"{sum(counts.values()):,} ({reasons})" if reasons else "0"


def image_facts(header: Header) -> str:
    """``4,317 (64x64, 3 channels)``: number, width x height and channels of the images."""
    return f"{header.num_images:,} ({size_text(header.image_size)}, {header.image_channels} channels)"


def label_facts(labels: LabelSchema, counts: Sequence[int]) -> str:
    """Kind and number of labels, how many of them no image has, and what to do if these are not classes."""
    if not labels.dim:
        return "none"
    words = [f"{labels.kind} ({labels.dim:,})"]
    empty = list(counts).count(0)
    if empty:
        words.append(f"{empty:,} without images")
    first = next((number for number, count in enumerate(counts) if count), 0)
    numbered = labels.names[-1] == str(labels.dim - 1)  # quantities such as ages begin anywhere, classes at 0 or 1
    if labels.kind == "class" and (empty > labels.dim / 2 or (numbered and first > 1 and labels.dim > MOST_LISTED)):
        words.append("if these are quantities, use --label-kind float")
    if labels.kind == "class" and labels.dim > MOST_LISTED and max(counts, default=2) == 1:
        words.append("no class has two images: check that these are classes")
    return "; ".join(words)


def label_rows(labels: LabelSchema, counts: Sequence[int]) -> tuple[str, list[tuple[str, int]]]:
    """(heading, rows of label and number of images): all labels in order, or the largest and smallest of many."""
    rows = list(zip(labels.names, counts, strict=False))
    if len(rows) <= MOST_LISTED:
        return "Labels", rows
    ordered = [row for row in sorted(rows, key=lambda row: -row[1]) if row[1]]
    if len(ordered) <= 2 * ENDS:
        return "Labels with images", ordered
    return f"Labels: the {ENDS} with the most and the {ENDS} with the fewest images", ordered[:ENDS] + ordered[-ENDS:]
