"""A command in a process of its own: what it says, how long it takes, and its peak of memory."""

import resource
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter, sleep

_EVERY_S = 0.2


def measured(command, *, cwd=None):
    """
    Run a command and watch it.

    Parameters
    ----------
    command : list of str
    cwd : str or pathlib.Path, optional

    Returns
    -------
    dict
        ``said`` (stdout), ``seconds`` and ``peak_mb``.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    peak, start = 0.0, perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, cwd=cwd, stdout=said) as process:
            while process.poll() is None:
                peak = max(peak, _peak_mb(process.pid))
                sleep(_EVERY_S)
        seconds = perf_counter() - start
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return {"said": text, "seconds": seconds, "peak_mb": peak}


def _peak_mb(pid):
    """Of the process itself: that of getrusage is inherited from the process that started it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1e3
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6 if not Path("/proc").exists() else 0.0
