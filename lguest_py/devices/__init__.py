# SPDX-License-Identifier: GPL-2.0-or-later
"""The Guest's devices: virtio, and a bus for each generation of lguest kernels.

Read next: device.py (what a device is), then virtqueue.py.
"""
