"""Which layers an edit acts on, by what their specifications say; and edits one after the other."""

from __future__ import annotations

from collections.abc import Callable

from sgkit.model import FeatureEdit, LayerSpec, State

Selection = Callable[[LayerSpec], bool]
"""Whether an edit acts behind a layer."""


def everywhere(spec: LayerSpec) -> bool:  # noqa: ARG001
    """Behind every layer."""
    return True


def at_kind(*kinds: str) -> Selection:
    """Behind layers of these kinds: ``input``, ``conv``, ``rgb``."""
    return lambda spec: spec.kind in kinds


def at_resolution(*resolutions: int) -> Selection:
    """Behind every layer of these nominal resolutions."""
    return lambda spec: spec.resolution in resolutions


def between(lowest: int, highest: int) -> Selection:
    """Behind every layer whose nominal resolution lies between the two, both counted."""
    return lambda spec: lowest <= spec.resolution <= highest


def closing(resolution: int) -> Selection:
    """Behind the last layer of a resolution: where geometry may change, in every architecture."""
    return lambda spec: spec.closes_resolution and spec.resolution == resolution


def when(where: Selection, change: Callable[[list[State]], list[State]]) -> FeatureEdit:
    """The edit that applies ``change`` to the states of all branches after the layers that ``where`` picks."""
    return lambda spec, states: change(states) if where(spec) else states


def compose(*edits: FeatureEdit) -> FeatureEdit:
    """The edits in turn, after every layer."""

    def composed(spec: LayerSpec, states: list[State]) -> list[State]:
        for edit in edits:
            states = edit(spec, states)
        return states

    return composed
