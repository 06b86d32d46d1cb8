# SPDX-License-Identifier: GPL-2.0-or-later
"""Walls that Linux puts around a process which asks for them: no new privileges, Landlock, seccomp, resource limits.

The Launcher puts up its own before the Guest's first instruction (walls.py), and those of a program that it starts
between fork and exec (child.py).  What this kernel does not have, or a container does not let pass, is left out and
named.
Read next: landlock.py, seccomp.py, then lguest_py/cli/confinement.py.
"""
