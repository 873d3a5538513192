"""Options, commands and values of other tools are answered with what they are called here."""

from __future__ import annotations

import re

import pytest

from sgkit.cli.app import COMMANDS, load_command, main
from sgkit.cli.hints import COMMAND_NAMES, HINTS

ANSWERS: list[tuple[str, str]] = [
    # what is typed by people who know other tools; a piece of the answer
    ("train --gamma 1", "No such option: --gamma. Use train.r1_gamma (keys are set with --set KEY=VALUE)."),
    ("train --cfg=auto", "No such option: --cfg. Use --preset."),
    ("train --outdir x", "No such option: --outdir. Use --out."),
    ("train --batch-size 8", "Use train.batch (--batch)"),
    ("train --aug ada", "Use train.augment.kind (--augment)"),
    ("train --snap 10", "Use train.snapshot_kimg: thousands of images between snapshots"),
    ("train --gpus 8", "torchrun --nproc-per-node N"),
    ("train --cond 1", "a store with labels"),
    ("train --metric fid", "Did you mean '--metrics'?"),
    ("generate --network=net.pkl", "No such option: --network. Use the argument MODEL."),
    ("generate x --trunc=0.7", "No such option: --trunc. Use --psi."),
    ("generate x --noise-mode=const", "No such option: --noise-mode. Use --noise."),
    ("generate x --projected-w=w.npz", "Use --latent FILE.npz."),
    (
        "generate --network=n --outdir=o --trunc=1 --seeds=0-3",
        "--network is the argument MODEL, --outdir is --out, --trunc",
    ),
    ("generate x --truncation_psi 1", "Use --psi."),
    ("mix x --row-seeds 1", "Use --rows."),
    ("mix x --col-styles 1", "Use --layers, for example coarse or 0-6."),
    ("interpolate x --num-keyframes 3", "Use --seeds 0-3"),
    ("interpolate x --w-frames 60", "Use --frames"),
    ("project x --target a.png", "Use the argument IMAGE."),
    ("project x --num-steps 100", "Use --steps."),
    ("metrics --network=n", "Use the argument MODEL."),
    ("metrics landscapes --data . --metrics=fid_full", "'fid_full': it is called 'fid' here"),
    ("metrics landscapes --data . --metrics=pr50k3", "it is called 'pr50k3_full' here"),
    ("prepare --source x", "Use the argument SOURCE."),
    ("prepare --dest x", "Use --out."),
    ("prepare x --resolution 64", "Use --size."),
    ("convert --source x", "Use the argument IN."),
    ("panorama x --outdir y", "Use --out."),
    ("info --network x", "No such option: --network"),
    ("gen_images.py", "No such command 'gen_images.py'. Use: sgkit generate"),
    ("calc_metrics", "Use: sgkit metrics"),
    ("dataset_tool.py", "Use: sgkit prepare"),
    ("projector.py", "Use: sgkit project"),
    ("style_mixing.py", "Use: sgkit mix"),
    ("gen_video", "Use: sgkit interpolate"),
]


@pytest.mark.parametrize(("line", "piece"), ANSWERS, ids=[line for line, _ in ANSWERS])
def test_what_other_tools_call_it_is_answered(line: str, piece: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert piece in capsys.readouterr().err


@pytest.mark.parametrize("line", ["generate landscapes --seeds=0-3", "generate landscapes --seeds=85,265,297-300"])
def test_lists_of_seeds_are_read_as_other_tools_write_them(line: str) -> None:
    command, *words = line.split()
    assert load_command(command).make_context(command, [*words, "--out", "x"]).params["seeds"]


def test_hints_name_what_there_is() -> None:
    rows = {row.name for row in COMMANDS}
    assert set(HINTS) - {"*"} <= rows
    assert set(COMMAND_NAMES.values()) - {"ui"} <= rows
    for path, hints in HINTS.items():
        commands = [load_command(name) for name in rows if not hasattr(load_command(name), "commands")]
        own = {
            word for one in (commands if path == "*" else [load_command(path)]) for p in one.params for word in p.opts
        }
        for here in hints.values():
            for option in re.findall(r"--[a-z][a-z-]+", here.partition("torchrun")[0]):
                assert option in own, f"{path}: {here}"


def test_no_hint_is_about_an_option_that_the_command_has() -> None:
    for path in set(HINTS) - {"*"}:
        own = {
            word.lstrip("-").replace("-", "_")
            for one in load_command(path).params
            for word in one.opts
            if word.startswith("-")
        }
        assert not own & HINTS[path].keys(), path
