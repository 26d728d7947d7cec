"""The index we stand before: one server, the set of servers that copy it, and the memory of its pages."""
