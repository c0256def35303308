"""A web page that contains a finished run's network and runs it in the browser: see `page`."""
