"""A page that holds a finished run's network, and computes it: see `page`."""
