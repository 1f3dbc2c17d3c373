"""The command line: one module a command group; each parses, builds the configuration and calls."""
