/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trace of world switches.  Read next: trace.c. */
#ifndef HOST_KERNEL_CORE_TRACE_H
#define HOST_KERNEL_CORE_TRACE_H

void trace_obey(void);

#endif
