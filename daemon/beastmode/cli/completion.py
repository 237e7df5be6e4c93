"""`beast completion`: the script that teaches a shell the commands, options and models."""

from __future__ import annotations

import click

from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen

_EXAMPLES = """
\b
bash:  echo 'eval "$(beast completion bash)"' >> ~/.bashrc
zsh:   echo 'eval "$(beast completion zsh)"' >> ~/.zshrc
fish:  beast completion fish > ~/.config/fish/completions/beast.fish
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_screen
def completion(screen: Screen, shell: str) -> None:
    """Print the completion script of SHELL (bash, zsh or fish)."""
    from click.shell_completion import get_completion_class

    from beastmode.cli.root import beast

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(beast, {}, "beast", "_BEAST_COMPLETE")
    script = made.source_template % made.source_vars()  # source() would ask bash for its version, which takes a shell
    if screen.as_json:
        screen.json({"shell": shell, "script": script})
    else:
        screen.write(script)
