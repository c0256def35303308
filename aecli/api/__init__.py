"""aecli in Python: `aecli/__init__.py` has the names that are public."""

from aecli.runtime.contention import bound_spinning

bound_spinning()  # before the modules of this package import torch
