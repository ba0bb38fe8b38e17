"""What devices and types of number are called in settings; `models/placement.py` finds out which of them are there."""

import re

AUTO = "auto"
DEVICES = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?")
DTYPES = ("float32", "bfloat16", "float16", "float64")


def check_names(device: str, dtype: str) -> None:
    """Raises ValueError for a name that no machine knows."""
    if not DEVICES.fullmatch(device):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1, mps or xpu, got {device!r}")
    if dtype not in (AUTO, *DTYPES):
        raise ValueError(f"dtype must be auto, {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {dtype!r}")
