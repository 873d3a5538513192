"""What everything in a scene is made of: frozen, typed values that are closed to unknown keys."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema

LONGEST_TEXT = 4096
R = TypeVar("R", bound="Record")


def _text(value: object) -> str:
    """Names of files need not be valid UTF-8, which pydantic's own text has to be."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"it must be a text of at most {LONGEST_TEXT:,} characters.")
    return value


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string", "maxLength": LONGEST_TEXT})]


class Record(BaseModel):
    """Base of everything in a scene: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, defer_build=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what has its default is left out."""
        return self.model_dump(by_alias=True, exclude_defaults=True)

    def changed(self: R, **values: Any) -> R:
        """A copy with other values, which are not validated again."""
        return self.model_copy(update=values)
