"""From a model to a finished run."""
