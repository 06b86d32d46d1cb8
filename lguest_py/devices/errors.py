# SPDX-License-Identifier: GPL-2.0-or-later
"""The error of a Guest that misuses its devices."""


class GuestError(Exception):
    """The Guest broke a rule of the devices; the text says which."""
