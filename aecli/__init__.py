"""aecli: a command-line experiment runner for autoencoders on small images."""

__version__ = "0.1.0"
