"""How fast the proxy is beside others, before the same upstream.  Commands, not tests: pytest does not collect them."""
