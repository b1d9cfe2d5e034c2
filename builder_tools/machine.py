"""What a run is executed on: the machine in words, and the clone of the repository, if any."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def hardware() -> str:
    """Return the hardware of a run: architecture and accelerator, or number of cores."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
    cores = f"{os.cpu_count()} CPU cores" + (f", {threads} thread(s) a run" if threads else "")
    return f"{platform.machine()}, {_accelerator() or cores}"


def describe_machine(packages: Iterable[str] = ()) -> str:
    """Return the processor, cores, load, Python version and versions of the given packages."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = (names or [platform.processor() or platform.machine()])[0]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = "".join(f", {name} {version(name)}" for name in packages)
    return (
        f"Machine: {processor}, {os.cpu_count()} cores{load}; "
        f"Python {platform.python_version()}{versions}"
    )


def clone() -> Path | None:
    """Return the repository clone that this package runs from; None if it is installed."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def _accelerator() -> str:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        return "" if device.platform == "cpu" else device.device_kind
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    return ""
