# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py doctor``: show which engines work on this machine, and what to do about each that does not.

Read next: lguest_py/doctor/diagnosis.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser
    from lguest_py.doctor.diagnosis import Diagnosis

USAGE = "lguest-py doctor [--json] [--self-test]"
EPILOG = """\
The tiny Guest is booted on each engine that works.  With --self-test it runs all of its own tests there, and a
file lguest-py-self-test.tar.gz is written here for a bug report: the tests' output, this processor, the versions;
no host name, user name or path of a home directory.

exit status:
  0  every engine that should work here passed
  1  one did not
  5  no engine works here
"""


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = make_parser("lguest-py doctor", USAGE, "Show what this machine can do.", EPILOG)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of text")
    parser.add_argument("--self-test", action="store_true", help="run all tests of the images, and write a bundle")
    options = parser.parse_args(arguments)

    from lguest_py.doctor import diagnosis as doctor

    diagnosis = doctor.examine(self_test=options.self_test)
    data = diagnosis.as_dict()
    if options.self_test:
        from lguest_py.doctor import bundle as doctor_bundle

        data["bundle"] = str(doctor_bundle.write(diagnosis))
    if options.json:
        import json

        print(json.dumps(data))
    else:
        sys.stdout.write(_text(diagnosis))
        if options.self_test:
            print(f"for a bug report: {data['bundle']}")
    return diagnosis.status


def _text(diagnosis: Diagnosis) -> str:
    from lguest_py.console.progress import paint

    lines = []
    for finding in diagnosis.findings:
        mark = paint("ok", "green", sys.stdout) if finding.good else paint("no", "red", sys.stdout)
        lines.append(f"{finding.what:<11} {mark}  {finding.found}")
        if finding.fix:
            lines.append(f"{'':<11} {paint('->', 'yellow', sys.stdout)}  {finding.fix}")
    return "".join(line + "\n" for line in lines)
