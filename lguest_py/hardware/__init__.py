# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user can give a Guest: disks, networks, shares, consoles, entropy, vsock, as plain data.

The same words are the command line's options (``--disk root.img,readonly``), the keys of a machine file and the
arguments of these classes.  Read next: kinds.py; lguest_py/launcher/launcher.py, which makes devices of them.
"""

from lguest_py.hardware.kinds import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock

__all__ = ["Console", "Disk", "Entropy", "Hardware", "Network", "Publish", "Share", "Vsock"]
