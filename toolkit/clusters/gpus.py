"""The GPUs of this machine, found without loading a library of theirs."""

import os
import shutil
import subprocess

from toolkit.clusters.site_command import ask

_TIMEOUT = 20.0


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each.strip() for each in named.split(",") if each.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = ask([program, "--query-gpu=index", "--format=csv,noheader"], timeout=_TIMEOUT)
        done.check_returncode()
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip().isdecimal()]
