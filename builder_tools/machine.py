"""What a run is made on: the machine in words, and the clone of the repository, if it is one."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def hardware() -> str:
    """Return what a run is made on: the accelerator, or the number of cores."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
    cores = f"{os.cpu_count()} CPU cores" + (f", {threads} thread(s) a run" if threads else "")
    return f"{platform.machine()}, {_accelerator() or cores}"


def clone() -> Path | None:
    """Return the clone of the repository that this package runs from; None for an installed one."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def _accelerator() -> str:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        return "" if device.platform == "cpu" else device.device_kind
    return ""
