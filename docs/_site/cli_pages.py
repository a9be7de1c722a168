"""The command line's reference: one page for each command of `featinv`, from its parser."""

import argparse
import re
from pathlib import Path

from _site.pages import heading, write_pages
from featinv import cli


def _escaped(text: str) -> str:
    """Return the text of a help as reStructuredText that shows it as it is."""
    return re.sub(r"([*`|\\])", r"\\\1", text)


def _option(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    """Return one flag or argument with its help."""
    value = (
        "" if action.nargs == 0 else formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    )
    names = ", ".join(f"{name} {value}".strip() for name in action.option_strings) or value
    help_text = _escaped((action.help or "") % {"default": action.default, "prog": "featinv"})
    choices = ""
    if action.choices is not None and not action.metavar:
        choices = f" One of {', '.join(f'``{choice}``' for choice in action.choices)}."
    return f".. option:: {names}\n\n   {help_text}.{choices}\n"


def _page(name: str, parser: argparse.ArgumentParser) -> str:
    """Return the page of a command."""
    formatter = parser._get_formatter()
    parts = [heading(f"featinv {name}"), _escaped(parser.description or ""), "", f".. program:: featinv {name}", ""]
    for group in parser._action_groups:
        if group._group_actions:
            parts += [heading((group.title or "").capitalize(), "-")]
            parts += [_option(action, formatter) for action in group._group_actions]
    return "\n".join(parts)


def write(folder: Path) -> None:
    """Write the pages into `folder`."""
    _, commands = cli._parser()
    pages = {name: _page(name, parser) for name, parser in commands.items()}
    toctree = "\n".join(f"   {name}" for name in pages)
    pages["index"] = (
        f"{heading('Command line')}\nGenerated from ``featinv COMMAND --help``.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{toctree}\n"
    )
    write_pages(folder, pages)
