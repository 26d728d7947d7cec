"""Commands about users and tokens: user, token."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from .common import config_option, data_option, failing, json_option, perform, print_lines, printing, read_settings

password_option = click.option(
    "--password",
    "source",
    type=click.Choice(["ask", "stdin", "new", "none"]),
    help="Ask at the terminal, read a line of standard input, make one and print it, or let tokens alone sign in.",
)


@click.group()
def user() -> None:
    """Users: the lines of the htpasswd file."""


@user.command()
@click.argument("name")
@config_option
@data_option
@password_option
def add(name: str, file: Path | None, data: Path | None, source: str | None) -> None:
    """Let NAME sign in; a running server knows within a second."""
    htpasswd = read_settings(file, data).htpasswd
    from ..commands import users as command

    with failing():
        password = _password(source)
        command.add(htpasswd, name, password)
    _tell(f"{name} is a user now, in {htpasswd}", password, source)


@user.command()
@click.argument("name")
@config_option
@data_option
@password_option
def passwd(name: str, file: Path | None, data: Path | None, source: str | None) -> None:
    """Change the password of NAME."""
    htpasswd = read_settings(file, data).htpasswd
    from ..commands import users as command

    with failing():
        password = _password(source)
        command.passwd(htpasswd, name, password)
    said = f"{name} has another password now" if password else f"{name} has no password now, and may have tokens"
    _tell(said, password, source)


@user.command()
@click.argument("name")
@config_option
@data_option
def remove(name: str, file: Path | None, data: Path | None) -> None:
    """Let NAME sign in no more, and revoke all tokens of that user."""
    settings = read_settings(file, data)
    from ..administration import RevokeTokens
    from ..commands import office, tokens
    from ..commands import users as command

    with failing():
        has_tokens = tokens.is_known(settings.htpasswd, name) and office.has_store(settings)
    # First: where this fails, the whole command can be given again.
    revoked = perform(settings, RevokeTokens(user=name)).tokens if has_tokens else ()
    with failing():
        command.remove(settings.htpasswd, name)
    print_lines([f"{name} is no user any more; tokens revoked: {len(revoked or ())}"])


@user.command("list")
@config_option
@data_option
def list_users(file: Path | None, data: Path | None) -> None:
    """List the users."""
    htpasswd = read_settings(file, data).htpasswd
    from ..commands import users as command

    with failing():
        lines = list(command.show(htpasswd))
    print_lines(lines)


@click.group()
def token() -> None:
    """Tokens: what programs sign in with, in place of a user's password."""


@token.command()
@click.option("--user", "name", metavar="NAME", required=True, help="Whose token it is: it may no more than she may.")
@config_option
@data_option
@click.option("--scope", metavar="NAME", multiple=True, help="For this project alone, or acme-* (repeatable).")
@click.option("--expires", metavar="DURATION", help="Worth nothing after that time: 12h, 90d, '30 min'.")
@click.option("--read-only", is_flag=True, help="For reading alone.")
@click.option("--admin", is_flag=True, help="For deleting and reserving too.")
@click.option("--note", metavar="TEXT", default="", help="What it is for, for whoever lists tokens later.")
def create(
    name: str,
    file: Path | None,
    data: Path | None,
    scope: tuple[str, ...],
    expires: str | None,
    read_only: bool,
    admin: bool,
    note: str,
) -> None:
    """Make a token and print it, this once: alone on standard output, and how to use it on standard error."""
    if read_only and admin:
        raise click.UsageError("--read-only and --admin contradict each other.")
    settings = read_settings(file, data)
    from ..administration import CreateToken, RevokeTokens
    from ..commands import tokens as command

    action = CreateToken(
        user=name,
        scope=command.scope(scope),
        may="read" if read_only else "admin" if admin else "upload",
        lasts=command.seconds(expires),
        note=note,
    )
    done = perform(settings, action, new=True)
    (made,) = done.tokens or ()
    try:
        with printing():
            click.echo(done.secret)
    except BaseException:
        # Nobody has read it, and nobody ever can.
        perform(settings, RevokeTokens(ids=(made.id,)))
        raise
    for line in command.show_made(made, settings):
        click.echo(line, err=True)
    with failing():
        if not command.is_known(settings.htpasswd, name):
            click.secho(
                f"{name} is no user yet, and so the token is worth nothing: yizhan user add {name}",
                err=True,
                fg="yellow",
            )


@token.command("list")
@click.option("--user", "name", metavar="NAME", help="Those of this user alone.")
@config_option
@data_option
@json_option
def list_tokens(name: str | None, file: Path | None, data: Path | None, as_json: bool) -> None:
    """List the tokens that were made, revoked ones too."""
    settings = read_settings(file, data)
    from ..administration import ListTokens
    from ..commands import tokens as command
    from ..commands.office import as_json as written

    done = perform(settings, ListTokens(user=name))
    print_lines([written(done)] if as_json else command.show(done.tokens or (), datetime.now(UTC)))


@token.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@config_option
@data_option
def revoke(ids: tuple[str, ...], file: Path | None, data: Path | None) -> None:
    """Make tokens worthless, at once and for ever."""
    settings = read_settings(file, data)
    from ..administration import RevokeTokens

    done = perform(settings, RevokeTokens(ids=ids))
    lines = [f"revoked: {token.id} of {token.user}" for token in done.tokens or ()]
    print_lines(lines or ["They were revoked before: nothing was changed."])


def _password(source: str | None) -> str | None:
    """The password that is to be, None for no password; asked for at a terminal, else read from standard input."""
    from ..commands import users as command

    source = source or ("ask" if sys.stdin.isatty() else "stdin")
    if source == "none":
        return None
    if source == "stdin":
        return command.read_password(sys.stdin)
    if source == "new":
        return command.new_password()
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    command.check_password(asked)
    return asked


def _tell(sentence: str, password: str | None, source: str | None) -> None:
    """A password that we made is printed, alone on standard output; no other is."""
    click.echo(sentence, err=True)
    if source == "new":
        with printing():
            click.echo(password)


COMMANDS = (user, token)
