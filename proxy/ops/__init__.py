"""What an operator's machine needs of a daemon: words with systemd, logs."""
