"""What a run is made on, in words."""

from __future__ import annotations

import os
import platform


def hardware() -> str:
    """Return what a run is made on: the accelerator, or the number of cores."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
    cores = f"{os.cpu_count()} CPU cores" + (f", {threads} thread(s) a run" if threads else "")
    return f"{platform.machine()}, {_accelerator() or cores}"


def _accelerator() -> str:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        return "" if device.platform == "cpu" else device.device_kind
    return ""
