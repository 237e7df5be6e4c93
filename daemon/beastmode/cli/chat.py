"""`beast chat`: a conversation that outlives the program; Ctrl-C stops the answer and not the conversation."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import context, figures, life, prompts, sources
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names, session_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError, BeastError, DaemonNotRunningError, NotFoundError

if TYPE_CHECKING:
    from beastmode.client import Client

_HELP = """\
/model [NAME]  show the model, or change it      /help  this list
/new           begin another session             /exit  leave (Ctrl-D too)
Ctrl-C stops an answer. A line that ends with \\ goes on in the next one."""
_SHOWN_BEFORE = 4


@click.command(cls=Command)
@click.option(
    "-s", "--session", help="Continue this session; `beast sessions list` names all.", shell_complete=session_names
)
@click.option("-c", "--continue", "last", is_flag=True, help="Continue the last session.")
@click.option(
    "-m", "--model", help="Who is to answer [default: the setting routing.default_model].", shell_complete=model_names
)
@sources.about_workspace
@pass_screen
def chat(
    screen: Screen,
    session: str | None,
    last: bool,
    model: str | None,
    workspace: str | None,
    no_context: bool,
    show_context: bool,
    no_model: bool,
) -> None:
    """Talk with a model, and go on another day.

    The conversation is kept and can be continued, also after a restart. Ctrl-C stops the answer; /help lists what else
    can be typed. Starts the daemon where none runs.
    """
    with life.connected(screen) as client:
        if last and session is None:
            session = _last_session(client)
        options = sources.options_of(workspace, no_context=no_context, no_model=no_model)
        Conversation(screen, client, model, session, options, show_context=show_context).run()


class Conversation:
    """One chat session at the keyboard, or with its lines piped in.

    Args:
        screen: Where to talk.
        client: A connected client.
        model: Who answers.
        session: The session to continue; None begins one.
        about: What `chat` is told of the workspace that it is about.
        show_context: Show what goes along with each question before it is sent.
    """

    def __init__(
        self,
        screen: Screen,
        client: Client,
        model: str | None,
        session: str | None,
        about: dict[str, Any] | None = None,
        *,
        show_context: bool = False,
    ) -> None:
        self._screen = screen
        self._client = client
        self._model = model
        self._session = session or _new_session()
        self._about = about or {}
        self._shows = show_context
        self._continued = session is not None
        self._asks = sys.stdin.isatty() and screen.is_terminal

    def run(self) -> None:
        """Reads, asks and shows, until the end of the input or /exit."""
        if self._asks:
            import readline  # noqa: F401 - gives input() its line editing
        self._greet()
        while self._turn():
            pass
        self._screen.note(f"continue with: beast chat --session {self._session}")

    def _turn(self) -> bool:
        """Reads one line and does what it says; False at the end. No number of Ctrl-C at a keyboard ends it."""
        try:
            line = self._read()
            text = line.strip() if line is not None else "/exit"
            if text in ("/exit", "/quit"):
                return False
            if text.startswith("/"):
                self._obey(text)
            elif text:
                self._ask(text)
        except KeyboardInterrupt:
            if not self._asks:
                raise
        return True

    def _greet(self) -> None:
        messages = self._history() if self._continued else []
        self._screen.note(f"session {self._session} · {self._model or 'default model'} · /help lists the commands")
        for message in messages[-_SHOWN_BEFORE:] if self._asks else []:
            mark = ">" if message["role"] == "user" else " "
            self._screen.note(f"{mark} {message['content']}")
        if self._asks:
            import readline

            for message in messages:
                if message["role"] == "user":
                    readline.add_history(message["content"])

    def _history(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._client.call("sessions.get", {"id": self._session})["messages"]
        except NotFoundError:
            return []  # a name of one's own choice begins a new session
        return found

    def _read(self) -> str | None:
        """The next line or lines; None at the end. Ctrl-C empties the line."""
        lines = [""]
        while True:
            try:
                lines[-1] = input(("> " if len(lines) == 1 else ". ") if self._asks else "")
            except EOFError:
                if self._asks:
                    self._screen.say()
                return None
            except KeyboardInterrupt:
                if not self._asks:
                    raise
                self._screen.note("\n(/exit or Ctrl-D leaves)")
                lines = [""]
                continue
            if not lines[-1].endswith("\\"):
                return "\n".join(lines)
            lines[-1] = lines[-1][:-1]
            lines.append("")

    def _ask(self, text: str) -> None:
        try:
            self._answer(text)
        except KeyboardInterrupt:
            if not self._asks:
                raise
            self._screen.note("stopped")
        except BeastError as error:
            if not self._asks:
                raise
            self._screen.error(error)

    def _answer(self, text: str) -> None:
        options: dict[str, Any] = {"model": self._model, "session_id": self._session, **self._about}
        text = text.encode(errors="replace").decode()
        try:
            self._client.call("ping")
        except DaemonNotRunningError:  # it was stopped meanwhile: the session is on disk
            life.connected(self._screen).close()
        if self._shows:
            root = sources.workspace_here(self._about.get("workspace"))
            context.show(self._screen, context.preview(self._client, text, root))
        if self._screen.as_json:
            self._screen.json(self._client.chat(text, **options))
            self._screen.flush()
        else:
            prompts.answer(self._screen, self._client, text, True, **options)

    def _obey(self, text: str) -> None:
        command, _, argument = text.partition(" ")
        if command == "/model":
            self._model = argument.strip() or self._model
            self._screen.note(f"model: {self._model or 'default'}")
        elif command == "/new":
            self._session = _new_session()
            self._screen.note(f"session {self._session}")
        elif command == "/help":
            self._screen.note(_HELP)
        else:
            self._screen.note(f"there is no {command}; /help lists the commands")


def _new_session() -> str:
    return f"{time.strftime('%Y-%m-%d')}-{secrets.token_hex(3)}"


def _last_session(client: Client) -> str:
    with contextlib.suppress(IndexError):
        return str(client.call("sessions.list")["sessions"][0]["id"])
    raise BadInputError("There is no session to continue.", tips=["beast chat"])


def transcript(messages: list[dict[str, Any]]) -> str:
    """A session as text.

    Args:
        messages: As `sessions.get` gives them.
    """
    parts = []
    for message in messages:
        who = message["role"] if message["role"] == "user" else message.get("model") or message["role"]
        parts.append(f"{who} · {figures.moment(message.get('at'))}\n{message['content']}\n")
    return "\n".join(parts)
