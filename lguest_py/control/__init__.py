# SPDX-License-Identifier: GPL-2.0-or-later
"""Running Guests from outside: each listens at a socket of this user's own, and answers requests.

places.py says where the sockets are, wire.py what goes through them, server.py is the Launcher's end, client.py the
other.  Read next: places.py.
"""
