"""How the command-line programs fail: one clear line on stderr, and an exit status."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Any

import click

from ..errors import GeoAwareError


class OneLineErrors(click.Group):
    """A command group whose errors are one line: exit 2 for usage, 1 for a failed run or check."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the program; it exits with its status."""
        options["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # what a terminal cannot show is spelt out
                stream.reconfigure(errors="backslashreplace")
        try:
            status = super().main(*args, **options)
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
