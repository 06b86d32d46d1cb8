# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py completion``: print a shell's completion script, made from the verbs' parsers.

Read next: lguest_py/cli/parsers.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser
    from lguest_py.cli.parsers import Option, Verb

USAGE = "lguest-py completion {bash,zsh,fish}"
EPILOG = """\
bash:  eval "$(lguest-py completion bash)"           in ~/.bashrc
zsh:   eval "$(lguest-py completion zsh)"            in ~/.zshrc, behind compinit
fish:  lguest-py completion fish >~/.config/fish/completions/lguest-py.fish
"""


# Shell code that prints the names of the kernels in the cache (lguest_py/files/caches.py, lguest_py/kernels/stock.py).
KERNELS = """\
_lguest_py_kernels() {{
    local base=$HOME/.cache record
    [[ $XDG_CACHE_HOME = /* ]] && base=$XDG_CACHE_HOME
    for record in "$base"/lguest-py/kernels/*/fetched.json{nothing}; do
        record=${{record%/*}}
        [[ $record = *\\* ]] || echo "${{record##*/}}"
    done
}}"""
FISH_KERNELS = """\
function __lguest_py_kernels
    set -l base $HOME/.cache
    string match -q '/*' -- "$XDG_CACHE_HOME"; and set base $XDG_CACHE_HOME
    for record in $base/lguest-py/kernels/*/fetched.json
        basename (dirname $record)
    end
end"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _names(verb: Verb) -> list[str]:
    return [name for option in verb.options for name in option.names]


def _bash_case(verb: Verb) -> Iterator[str]:
    for option in verb.options:
        if option.value and not option.joined:
            does = "files=1" if option.files else f"words={_quoted(' '.join(option.choices))}"
            if option.kernels:
                does = "words=$(_lguest_py_kernels)"
            pattern = "|".join(f'"{verb.name} {name}"' for name in option.names)
            yield f"        {pattern}) {does} ;;"
    yield f'        "{verb.name} "*)'
    yield f"            words={_quoted(' '.join([*verb.words, *_names(verb)]))}"
    if verb.files:
        yield "            [[ $word = -* ]] || files=1"
    if verb.kernels:
        yield "            words+=\" $(_lguest_py_kernels)\""
    yield "            ;;"


def _bash(main: Verb, verbs: Sequence[Verb]) -> Iterator[str]:
    yield KERNELS.format(nothing="")
    yield "_lguest_py() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words= files="
    yield '    case "${COMP_WORDS[1]} $before" in'
    for verb in verbs:
        yield from _bash_case(verb)
    yield "    esac"
    first = " ".join([*(verb.name for verb in verbs), *_names(main)])
    yield f"    if [ $COMP_CWORD = 1 ]; then words={_quoted(first)} files=; fi"
    yield '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; [ -z "$files" ] || compgen -f -- "$word")'
    yield "}"
    yield "complete -o filenames -F _lguest_py lguest-py"


def _zsh_option(option: Option) -> Iterator[str]:
    text = re.sub(r"([\[\]:\\])", r"\\\1", option.help)
    value = ""
    if option.value:
        what = re.sub(r"\W+", " ", option.value).strip()
        value = f":{what}:" + ("_files" if option.files else f"({' '.join(option.choices)})")
        if option.kernels:
            value = f":{what}:_lguest_py_fetched"
    for name in option.names:
        joint = "" if not option.joined else "=-" if name.startswith("--") else "-"
        yield _quoted(f"{name}{joint}[{text}]{':' if joint else ''}{value}")


def _zsh(main: Verb, verbs: Sequence[Verb]) -> Iterator[str]:
    yield "#compdef lguest-py"
    yield KERNELS.format(nothing="(N)")
    yield '_lguest_py_fetched() { compadd -- ${(f)"$(_lguest_py_kernels)"}; }'
    yield "_lguest_py_images() { _lguest_py_fetched; _files; }"
    yield "_lguest_py() {"
    yield "    local -a verbs"
    yield "    verbs=("
    for verb in verbs:
        summary = verb.summary.replace(":", "\\:")
        yield f"        {_quoted(f'{verb.name}:{summary}')}"
    yield "    )"
    yield "    if (( CURRENT == 2 )); then"
    yield "        _describe verb verbs"
    yield f"        [[ $PREFIX = -* ]] && compadd -- {' '.join(_names(main))}"
    yield "        return"
    yield "    fi"
    yield "    shift words"
    yield "    (( CURRENT-- ))"
    yield "    case $words[1] in"
    for verb in verbs:
        specs = [spec for option in verb.options for spec in _zsh_option(option)]
        if verb.kernels:
            specs.append("1:image:_lguest_py_images")
        if verb.files:
            specs.append("'*:file:_files'")
        elif verb.words:
            specs.append(_quoted(f"1:word:({' '.join(verb.words)})"))
        yield f"        {verb.name}) _arguments {' '.join(specs)} ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $funcstack[1] = _lguest_py ]]; then _lguest_py "$@"; else compdef _lguest_py lguest-py; fi'


def _fish_option(condition: str, option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = ""
    if option.value and not option.joined:
        value = " -r -F" if option.files else f" -x -a {_quoted(' '.join(option.choices))}"
        if option.kernels:
            value = " -x -a '(__lguest_py_kernels)'"
    return f"complete -c lguest-py -n {_quoted(condition)} {names}{value} -d {_quoted(option.help)}"


def _fish(main: Verb, verbs: Sequence[Verb]) -> Iterator[str]:
    yield FISH_KERNELS
    yield "complete -c lguest-py -f"
    for option in main.options:
        yield _fish_option("__fish_use_subcommand", option)
    for verb in verbs:
        yield f"complete -c lguest-py -n __fish_use_subcommand -a {verb.name} -d {_quoted(verb.summary)}"
        condition = f"__fish_seen_subcommand_from {verb.name}"
        for option in verb.options:
            yield _fish_option(condition, option)
        if verb.words:
            yield f"complete -c lguest-py -n {_quoted(condition)} -a {_quoted(' '.join(verb.words))}"
        if verb.kernels:
            yield f"complete -c lguest-py -n {_quoted(condition)} -a '(__lguest_py_kernels)'"
        if verb.files:
            yield f"complete -c lguest-py -n {_quoted(condition)} -F"


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def script(shell: str) -> str:
    """The completion script for one of SHELLS."""
    from lguest_py.cli.parsers import command_line

    main, *verbs = command_line()
    return "".join(line + "\n" for line in SHELLS[shell](main, verbs))


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = make_parser("lguest-py completion", USAGE, "Print the completion script for a shell.", EPILOG)
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell")
    options = parser.parse_args(arguments)
    sys.stdout.write(script(options.shell))
    return 0
