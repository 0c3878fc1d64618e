"""The command line: one file a command, none imported before it is called."""
