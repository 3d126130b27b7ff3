"""The command line, installed as ``sctd_cli``: one file a command, errors in one place, help without torch."""
