"""Motion representations that networks read and write, each checked against its published reference."""
