"""How the command-line programs fail: one clear line on stderr, and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from ..errors import GeoAwareError


def _refuse_empty(words: Sequence[str] | None) -> None:
    """Refuse an empty argument: a shell variable that is not set, more often than not."""
    for word in sys.argv[1:] if words is None else words:
        if not word or (word.startswith("--") and word.endswith("=")):
            raise click.UsageError(f"an empty argument ({word!r}); is a shell variable not set?")


class OneLineErrors(click.Group):
    """A command group whose errors are one line: exit 2 for usage, 1 for a failed run or check."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the program; it exits with its status."""
        options["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # what a terminal cannot show is spelt out
                stream.reconfigure(errors="backslashreplace")
        try:
            _refuse_empty(args[0] if args else options.get("args"))
            status = super().main(*args, **options)
            if sys.stdout:
                sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.ClickException as error:
            self._fail(error.format_message(), error.exit_code)
        except GeoAwareError as error:
            self._fail(str(error), error.exit_code)
        except OSError as error:
            sys.stdout = None  # nothing more can be written there, at exit either
            self._fail(f"cannot write: {error.strerror or error}", 1)
        except (click.Abort, KeyboardInterrupt):
            self._fail("interrupted", 130)
        sys.exit(status if isinstance(status, int) else 0)

    def _fail(self, message: str, status: int) -> None:
        click.echo(f"{self.name}: error: {' '.join(message.split())}", err=True)
        sys.exit(status)
