from __future__ import annotations

import pytest

from sgkit.config import AugmentConfig
from sgkit.config.augment import AUGMENT_PARTS, augment_transforms
from sgkit.errors import ConfigError


def test_presets_grow_by_a_family_per_letter() -> None:
    families = ("blit", "geom", "color", "filter", "noise", "cutout")
    for count, preset in ((2, "bg"), (3, "bgc"), (4, "bgcf"), (5, "bgcfn"), (6, "bgcfnc")):
        wanted = tuple(name for family in families[:count] for name in AUGMENT_PARTS[family])
        assert augment_transforms(preset) == wanted


def test_parts_are_joined_and_counted_once() -> None:
    assert augment_transforms("blit + hue+color") == (
        *("xflip", "rotate90", "xint"),
        *("hue", "brightness", "contrast", "lumaflip", "saturation"),
    )


@pytest.mark.parametrize(
    ("kind", "p", "default"), [("none", 0.0, 0.0), ("ada", 0.4, 0.0), ("fixed", 0.4, 0.2), ("diffaugment", 1.0, 1.0)]
)
def test_runs_start_with_their_probability(kind: str, p: float, default: float) -> None:
    assert AugmentConfig.from_dict({"kind": kind, "p": 0.4}).start_p == p
    assert AugmentConfig.from_dict({"kind": kind}).start_p == default


def test_policies_are_split() -> None:
    assert AugmentConfig(policy="cutout, color").policies == ("cutout", "color")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "adda"}, "kind is 'adda'. Did you mean 'ada'?"),
        ({"pipe": "bgcg"}, "pipe is 'bgcg', with 'bgcg'. Did you mean 'bgc"),
        ({"pipe": "blit+colour"}, "pipe is 'blit+colour', with 'colour'. Did you mean 'color'?"),
        ({"pipe": ""}, "pipe is '', with ''. Allowed: "),
        ({"policy": "color;cutout"}, "policy is 'color;cutout', with 'color;cutout'."),
        ({"p": 1.5}, "p is 1.5; it must be between 0 and 1, or none."),
        ({"target": 1.0}, "target is 1.0; it must be above -1 and below 1."),
        ({"interval": 0}, "interval is 0; it must be 1 or more."),
        ({"kimg": 0.0}, "kimg is 0.0; it must be above 0."),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AugmentConfig.from_dict(values)
    assert str(caught.value).startswith(message)
