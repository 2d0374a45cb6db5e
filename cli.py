"""The door: the ``dare`` command, which finds the commands of each wing, and says an error in one line."""

import difflib
import os
import sys
import traceback
from functools import partial
from importlib import import_module
from typing import cast

import click

from manifests import __version__
from manifests.errors import DareError
from manifests.terminal import INTERRUPTED, OK, UNUSABLE

COMMANDS = {
    "synth": "pipelines",
    "recipe": "pipelines",
    "preprocess": "pipelines",
    "merge": "manifests",
    "inspect": "pipelines",
    "verify": "manifests",
    "drop": "pipelines",
    "pretrain": "dare_eeg",
    "export": "dare_eeg",
    "probe": "dare_eeg",
    "predict": "dare_eeg",
    "compare": "dare_eeg",
}
"""The wing in whose ``commands`` each command stands, in the order of ``dare --help``."""


def command(name: str) -> click.Command:
    """Return a command by name, importing its wing's commands."""
    return cast(click.Command, getattr(import_module(f"{COMMANDS[name]}.commands"), name))


class _Wings(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name in COMMANDS:
            return command(cmd_name)
        like = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
        hint = f"did you mean {like[0]}?" if like else f"there are {', '.join(COMMANDS)}"
        raise click.UsageError(f"no command {cmd_name!r}; {hint}", ctx)


@click.group(cls=_Wings, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="dare")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.option("--local_rank", type=int, hidden=True, help="Set by the deepspeed launcher.")
@click.pass_context
def dare(ctx: click.Context, local_rank: int | None) -> None:
    """From raw EEG recordings to an encoder you can use: preprocess, pretrain, probe."""
    ctx.obj = partial(import_module, "pipelines.piece")  # what reads raw recordings, for a wing that does not know it
    if local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(local_rank))


def main() -> None:
    """Run the command line; an error a user can mend is one line on stderr and status 2."""
    try:
        sys.exit(dare(standalone_mode=False) or OK)
    except click.exceptions.NoArgsIsHelpError as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except click.ClickException as problem:
        _say(problem.format_message())
        sys.exit(problem.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; what is finished is kept: run the same command again (pretrain with --resume)", INTERRUPTED)
    except BrokenPipeError:
        sys.exit(OK)
    except DareError as problem:
        _fail(str(problem), UNUSABLE)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        remedy = "see that it can be read and written, then run the same command again"
        _fail(f"{problem.filename or 'the system'}: {reason}; {remedy}", UNUSABLE)


def _fail(message: str, status: int) -> None:
    if {"-v", "--verbose"} & set(sys.argv):
        traceback.print_exc()
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    click.echo(f"dare: {' '.join(message.split())}", err=True)


if __name__ == "__main__":
    main()
