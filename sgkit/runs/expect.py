"""What to expect of a run: when there will be recognisable pictures, a usable model, and the end."""

from __future__ import annotations

from sgkit.runs.config import RunConfig

MILESTONES = {64: (20.0, 80.0), 128: (100.0, 300.0), 256: (200.0, 1000.0)}
"""Pixels, up to which: thousands of images to the first recognisable pictures, and to a usable model. Up to 64 pixels
they were measured (docs/results.md); above, they are estimates."""
LARGE = (400.0, 3000.0)
"""The same for larger images."""
FINE_TUNED = 0.2
"""Fraction of these that a run needs which starts from a trained model; an estimate."""


def milestones(config: RunConfig) -> dict[str, float]:
    """Name -> thousands of images at which to expect it, the end included."""
    side = max(config.model.image_size)
    first, usable = next((values for limit, values in MILESTONES.items() if side <= limit), LARGE)
    factor = FINE_TUNED if config.init is not None else 1.0
    total = config.train.total_kimg
    reached = {"recognisable pictures": first * factor, "a usable model": usable * factor}
    return {name: kimg for name, kimg in reached.items() if kimg < total} | {"the end": total}


def expectations(
    config: RunConfig, *, sec_per_kimg: float, memory_gib: float | None, done_kimg: float
) -> dict[str, str]:
    """Name -> words: measured speed, memory, and the time to what is still to come."""
    memory = "" if memory_gib is None else f", {memory_gib:.1f} GiB of memory"
    facts = {"measured": f"{speed_words(sec_per_kimg)} seconds for a thousand images (1 kimg){memory}"}
    for name, kimg in milestones(config).items():
        if kimg > done_kimg:
            facts[name] = f"in about {time_words((kimg - done_kimg) * sec_per_kimg)} (at {kimg:g} kimg)"
    return facts | {"to stop": "at any time with Ctrl-C, which saves; the same command with --resume continues"}


def speed_words(sec_per_kimg: float) -> str:
    """Three digits, or all before the point."""
    return f"{sec_per_kimg:,.0f}" if sec_per_kimg >= 100 else f"{sec_per_kimg:.3g}"


def time_words(seconds: float) -> str:
    """``50 seconds``, ``12 minutes``, ``3.5 hours``, ``2 days and 4 hours`` or ``40 days``."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if minutes < 90:
        return f"{minutes:.0f} minutes"
    if hours < 24:
        return f"{hours:.1f} hours".replace(".0 ", " ")
    days, rest = divmod(round(hours), 24)
    unit = "day" if days == 1 else "days"
    if days >= 7 or rest == 0:
        return f"{round(hours / 24)} {unit}"
    return f"{days} {unit} and {rest} hour{'s' * (rest != 1)}"
