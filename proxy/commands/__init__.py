"""What the command line does beyond starting the server, one module each."""
