"""Groups of options: what a command takes as one argument, Typer reads as several options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from sgkit.cli.groups import Without, flatten_options


@dataclass(frozen=True, kw_only=True)
class Seasoning:
    """Three options."""

    salt: Annotated[int, typer.Option("--salt")] = 1
    pepper: Annotated[int, typer.Option("--pepper")] = 2
    dill: Annotated[bool, typer.Option("--dill")] = False


def command(received: list[object]) -> typer.Typer:
    """A command that notes what it was given."""
    app = typer.Typer(add_completion=False)

    @app.command()
    @flatten_options
    def cook(
        dish: Annotated[str, typer.Argument()],
        *,
        seasoning: Annotated[Seasoning, Without({"pepper"})],
        hot: Annotated[bool, typer.Option("--hot")] = False,
    ) -> None:
        """Cook a dish."""
        received.extend((dish, seasoning, hot))

    return app


def test_options_of_a_group_stand_in_its_place_and_arrive_as_one_argument() -> None:
    received: list[object] = []
    app = command(received)
    assert [one.name for one in typer.main.get_command(app).params] == ["dish", "salt", "dill", "hot"]
    assert CliRunner().invoke(app, ["soup", "--dill", "--salt", "3"]).exit_code == 0
    assert received == ["soup", Seasoning(salt=3, pepper=2, dill=True), False]


def test_an_option_left_out_of_a_group_is_unknown() -> None:
    assert CliRunner().invoke(command([]), ["soup", "--pepper", "3"]).exit_code == 2
