"""aecli in Python: `aecli/__init__.py` has the names that are public."""

from aecli.runtime.contention import limit_spinning

limit_spinning()  # before the modules of this package import torch
