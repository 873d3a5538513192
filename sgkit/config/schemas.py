"""JSON schemas of dataclasses, with what the source says of each field."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class SchemaWithDocs(GenerateJsonSchema):
    """Schemas that allow no other keys; as results are written, numbers that are not finite are null."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """The schema of a dataclass, with a description of each documented field."""
        found = super().dataclass_schema(schema)
        for name, text in _field_docs(schema["cls"]).items():
            found.get("properties", {}).get(name, {}).setdefault("description", text)
        found.pop("title", None)
        return found | {"additionalProperties": False}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """Numbers; in results also null, which JSON has in place of NaN."""
        found = super().float_schema(schema)
        return {"anyOf": [found, {"type": "null"}]} if self.mode == "serialization" else found

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Whether a key is always there: in results every one is."""
        return self.mode == "serialization" or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Titles would only repeat the names."""
        return False


def _field_docs(cls: type) -> dict[str, str]:
    """Field -> the text under it in the source of a class or of the classes that it extends."""
    docs: dict[str, str] = {}
    for one in reversed(cls.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for line, after in pairwise(lines):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(text, str):
                docs[line.target.id] = " ".join(text.split())
    return docs
