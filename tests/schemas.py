"""Results of ``--json`` against their schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jsonschema

from sgkit.cli.schema import RESULT, RESULTS, json_schema


def checked_result(command: Sequence[str], text: str) -> Any:
    """What a command wrote with ``--json``; its schema is found by the command's words.

    Raises:
        jsonschema.ValidationError: it is not as the schema says.
    """
    group = "-".join(word.lstrip("-") for word in command[:2])
    options = [f"{command[0]}-{word.lstrip('-')}" for word in command]
    name = next(name for name in (group, *options, command[0]) if name in RESULTS)
    result = json.loads(text)
    jsonschema.validate(result, json_schema(f"{name}{RESULT}"))
    return result
