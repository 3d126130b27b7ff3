"""The command line, installed as ``sctd_cli``: one file a command, errors in one place, no torch for help."""
