"""`beast lsp`, as `beast --help` tells of it and with more than its name; `lsp_shim` does the work."""

from __future__ import annotations

import click

from beastmode.cli import lsp_shim
from beastmode.cli.command import Command


@click.command(cls=Command)
@click.option("--stdio", is_flag=True, help="Speak on the standard streams: as it does anyway.")
@click.option("--clientProcessId", "client_process_id", metavar="PID", hidden=True)
def lsp(stdio: bool, client_process_id: str | None) -> int:
    r"""Serve an editor: the Language Server Protocol on standard streams.

    Editors start it. It joins them to the daemon, and starts the daemon first where none runs. When the daemon
    restarts, the editor keeps its session: open documents are told to the new one, and what was pending is answered
    with an error.

    \b
    Exit codes:
      0  the editor took its leave (shutdown, exit), or has gone
      1  it left without shutdown, or sent what is no message
    """
    return lsp_shim.run()
