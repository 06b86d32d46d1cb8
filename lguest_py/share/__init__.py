# SPDX-License-Identifier: GPL-2.0-or-later
"""A 9P2000.L server for one folder of the Host; it knows nothing of virtio.

Read next: session.py, server.py, then tree.py, which keeps the Guest inside the folder.
"""

from lguest_py.share.server import ShortBuffers
from lguest_py.share.session import Session

__all__ = ["Session", "ShortBuffers"]
