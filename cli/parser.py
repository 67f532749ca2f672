"""The command line: words to a command and its arguments. Wrong words are a ``UsageError`` of one sentence."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cli import commands, run_flags
from cli.commands import COMMANDS, Command
from config.complaints import listed, near
from core.errors import ConfigError

DEFAULT_CONFIG = Path("config/data_sources.yml")


class UsageError(ConfigError):
    """The command line is wrong."""

    code = "E120"


class Parser(argparse.ArgumentParser):
    """Says what is wrong by raising, with the flag that was probably meant."""

    def error(self, message: str) -> NoReturn:
        """argparse calls this for every wrong word."""
        message = re.sub(r"^argument ([^:]+): ", r"`\1`: ", message)
        unknown = re.fullmatch(r"unrecognized arguments: (.*)", message)
        if unknown:
            word = unknown[1].split()[0]
            message = self._unknown(word)
        raise UsageError(f"{message} (see `{self.prog} --help`)")

    def _unknown(self, word: str) -> str:
        if word in COMMANDS:
            return f"the command comes first: `assay {word} …`"
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        close = difflib.get_close_matches(word.partition("=")[0], flags, n=1)
        return f"`{word}` is not known here" + (f"; did you mean `{close[0]}`?" if close else "")


def parse(argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command to run, and its arguments.

    Raises:
        UsageError: unknown words, or flags that do not go together.
        SystemExit: 0 after ``--help``.
    """
    words = list(argv)
    if words[:1] in (["--help"], ["-h"]):
        print(_overview())
        raise SystemExit(0)
    name = words.pop(0) if words and not words[0].startswith("-") else "run"
    if name in commands.NOT_YET:
        raise ConfigError(
            f"the command `{name}` is not in this version; there is {listed(sorted(COMMANDS))}", "E121"
        )
    if name not in COMMANDS:
        raise UsageError(f"`{name}` is not a command; {near(name, COMMANDS)}")
    if name == "run":
        parser = _parser("run", COMMANDS["run"][1])
        run_flags.arguments(parser)
        args = parser.parse_args(words)
        run_flags.check(args)
        return commands.load("validate" if args.validate_config else "run"), args
    command = commands.load(name)
    parser = _parser(name, command.HELP)
    command.arguments(parser)
    return command, parser.parse_args(words)


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--data-dir``, for every command that needs the settings."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="settings (default: %(default)s)"
    )
    parser.add_argument(
        "--data-dir",
        type=_folder,
        metavar="DIR",
        help="where data lie (default: ASSAY_DATA, storage.root, ./data)",
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="of log lines on stderr"
    )


def _folder(text: str) -> Path:
    if not text.strip():  # a shell variable that is not set would mean the working directory
        raise argparse.ArgumentTypeError("it is empty; name a directory, or leave the flag out")
    return Path(text)


def _parser(name: str, description: str) -> Parser:
    program = "assay" if "assay" in Path(sys.argv[0]).name else "main.py"
    return Parser(prog=f"{program} {name}", description=description, allow_abbrev=False)


def _overview() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    head = "usage: assay [COMMAND] [flags]      (or: python main.py [COMMAND] [flags])"
    return "\n".join([head, "", *lines, "", "`assay COMMAND --help` lists a command's flags."])
