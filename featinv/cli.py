"""The console command: flags in, calls out, no logic of its own, and no torch before it is needed."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import NoReturn

import featinv as fi
from featinv import environment
from featinv.audit.settings import EXIT_CODES, AuditSettings
from featinv.audit.settings import GROUPS as AUDIT_GROUPS
from featinv.configuration import nearest
from featinv.dataclass_flags import add_flags, parse_settings
from featinv.defend.settings import EXIT_CODES as DEFEND_EXIT_CODES
from featinv.defend.settings import GROUPS as DEFEND_GROUPS
from featinv.defend.settings import DefendSettings
from featinv.doctor import examine, examine_victim, healthy
from featinv.extras import library
from featinv.interop.settings import EXIT_CODES as SCORE_EXIT_CODES
from featinv.interop.settings import GROUPS as SCORE_GROUPS
from featinv.interop.settings import ScoreSettings
from featinv.inventory import GROUPS, descriptions
from featinv.leaving import DONE, REFUSED, keep_output, leave_with, show_log


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the flags."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {' '.join(message.split())}; {self.prog} --help lists the flags", file=sys.stderr)
        sys.exit(2)


class _Completion(argparse.Action):
    """Prints the completion script of a shell, as shtab writes it, and leaves."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        print(library("shtab", "--print-completion").complete(parser, shell=given[1]))
        parser.exit()


def list_exports(flags: argparse.Namespace) -> int:
    """List what a group exports, with one line on each."""
    listed = descriptions(flags.group)
    width = max(len(name) for name, _ in listed)
    for name, text in listed:
        print(f"{name:<{width}}  {text}")
    return 0


def show(flags: argparse.Namespace) -> int:
    """Print the scoreboard of a finished run."""
    print(fi.load_scoreboard(flags.run))
    return 0


def report(flags: argparse.Namespace) -> int:
    """Write the report of a finished run again, or of several together."""
    print(fi.report.write(flags.runs, flags.out, kind=flags.kind, show_images=flags.show_images))
    return 0


def doctor(flags: argparse.Namespace) -> int:
    """Say what is installed, what can be measured here, and how to get the rest; or what a victim does to images."""
    findings = examine() if flags.victim is None else examine_victim(flags.victim)
    for finding in findings:
        print(finding)
    return DONE if healthy(findings) else REFUSED


def audit(flags: argparse.Namespace) -> int:
    """Train a suite of attacks on vectors, say which level of leak is shown, and write the report."""
    fi.allocator.set_allocator()
    settings = fi.audit.AuditSettings(**{item.name: getattr(flags, item.name) for item in fields(AuditSettings)})
    return fi.audit.run_audit(settings).exit_code


def defend(flags: argparse.Namespace) -> int:
    """Say in which form vectors may be released: floor, ceiling and utility of every setting, and one recommended."""
    fi.allocator.set_allocator()
    settings = fi.defend.DefendSettings(**{item.name: getattr(flags, item.name) for item in fields(DefendSettings)})
    return fi.defend.run_defend(settings, attack=fi.audit.attack_vectors).exit_code


def score(flags: argparse.Namespace) -> int:
    """Score reconstructions that other code made: folders of originals and of reconstructions with the same names."""
    fi.interop.run_score(
        fi.interop.ScoreSettings(**{item.name: getattr(flags, item.name) for item in fields(ScoreSettings)})
    )
    return DONE


def _parser() -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser of the command, and those of its commands by name."""
    parser = _Parser(prog="featinv", description="Measure what image feature vectors leak: see also the recipes.")
    parser.add_argument("--version", action="version", version=fi.__version__)
    shells = ("bash", "zsh", "tcsh")
    parser.add_argument("--print-completion", action=_Completion, choices=shells, help="print what completes commands")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("list", help=list_exports.__doc__, description=list_exports.__doc__)
    command.add_argument("group", metavar="GROUP", help=f"one of {', '.join(GROUPS)}")
    command.set_defaults(call=list_exports)

    command = commands.add_parser("show", help=show.__doc__, description=show.__doc__)
    command.add_argument("run", metavar="RUN", help="folder of the run, or its scoreboard.json")
    command.set_defaults(call=show)

    command = commands.add_parser("report", help=report.__doc__, description=report.__doc__)
    command.add_argument("runs", metavar="RUN", nargs="+", help="folder of a finished run, or its scoreboard.json")
    command.add_argument("--out", help="file to write (.html, .md) or its folder; the run's own folder when not given")
    command.add_argument(
        "--markdown",
        dest="kind",
        action="store_const",
        const="markdown",
        default="html",
        help="write Markdown for a model card: numbers, no image",
    )
    command.add_argument(
        "--show-images",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show the private images that the run's folder holds",
    )
    command.set_defaults(call=report)

    command = commands.add_parser("audit", help=audit.__doc__, description=f"{audit.__doc__} {EXIT_CODES}")
    add_flags(command, AuditSettings, AUDIT_GROUPS)
    command.set_defaults(call=audit)

    command = commands.add_parser("defend", help=defend.__doc__, description=f"{defend.__doc__} {DEFEND_EXIT_CODES}")
    add_flags(command, DefendSettings, DEFEND_GROUPS)
    command.set_defaults(call=defend)

    command = commands.add_parser("score", help=score.__doc__, description=f"{score.__doc__} {SCORE_EXIT_CODES}")
    add_flags(command, ScoreSettings, SCORE_GROUPS)
    command.set_defaults(call=score)

    command = commands.add_parser("doctor", help=doctor.__doc__, description=doctor.__doc__)
    command.add_argument(
        "--victim",
        metavar="NAME[:VALUE][,KEY=VALUE...]",
        help="show how this encoder resizes, crops and normalises images, its features, layers and gradients",
    )
    command.set_defaults(call=doctor)
    return parser, commands.choices


SETTINGS: dict[str, type] = {"audit": AuditSettings, "defend": DefendSettings, "score": ScoreSettings}
"""the commands whose flags are the fields of a dataclass"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags of a command line. Leaves with exit code 2 and one line, raises BadInput, for a wrong one."""
    parser, commands = _parser()
    name = arguments[0] if arguments else ""
    if name in SETTINGS:
        flags, unknown = parse_settings(commands[name], SETTINGS[name], arguments[1:])
    else:
        flags, unknown = parser.parse_known_args(arguments)
    if unknown:
        near = commands.get(name, parser)
        names = re.findall(r"--[\w-]+", near.format_usage())
        near.error(f"unrecognized arguments: {' '.join(unknown)}{nearest(unknown[0], names)}")
    return flags


def main() -> None:
    """Run the command in this one process, and leave as `leave_with` does: bad input is one line and exit code 2."""
    keep_output()
    show_log()

    def checked() -> int:
        flags = parse(sys.argv[1:])
        environment.check()
        environment.no_windows()
        environment.use_one_process("featinv")
        return flags.call(flags)

    leave_with(checked)


if __name__ == "__main__":
    main()
