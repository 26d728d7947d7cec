"""The human side: pages made of a few values, with their templates and static files; no I/O after the start."""
