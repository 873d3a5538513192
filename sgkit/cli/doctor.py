"""``sgkit doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgkit.cli import report
from sgkit.cli.options import JsonOption

if TYPE_CHECKING:
    from sgkit.tasks.doctor import DeviceReport, DoctorReport


def doctor(json: JsonOption = False) -> None:
    """Check this machine: versions, devices, and which optional features are available.

    Lists versions, devices with the precision that each is fast in, and optional programs and packages with the
    commands that need them. Changes nothing.
    """
    from sgkit.tasks.doctor import examine

    report.emit(examine(), json=json, show=_show)


def _show(found: DoctorReport) -> None:
    versions = {name: version or "missing: install stylegan-sgkit again" for name, version in found.versions.items()}
    report.facts({"system": found.system, **versions}, title="Versions")
    report.out("")
    report.facts({device.name: _describe(device) for device in found.devices}, title="Devices")
    report.facts({"--device auto": found.auto_device, "CPU threads": found.threads, "cache folder": found.cache})
    report.out("")
    if found.choices:
        chosen = {
            f"{choice.use} {choice.network}": (
                f"{choice.precision} (fp32 {choice.fp32_seconds:.3g} s, bf16 {choice.bf16_seconds:.3g} s)"
            )
            for choice in found.choices
        }
        report.facts(chosen, title="Automatic precision, as measured here")
        report.out("")
    needs = {need.name: need.found or f"missing: needed for {need.needed_for}. {need.remedy}" for need in found.needs}
    report.facts(needs, title="Optional")


def _describe(device: DeviceReport) -> str:
    memory = f", {device.memory / 2**30:.0f} GiB" if device.memory is not None else ""
    bf16 = f"bf16 by {device.bf16_units}" if device.bf16_units else "no bf16 matrix units: bf16 works, but slowly"
    measured = device.auto_precision == "measured"
    auto = "measured for each network at its first use" if measured else device.auto_precision
    return "; ".join([f"{device.model}{memory}", bf16, *device.offers, f"--precision auto is {auto}"])
