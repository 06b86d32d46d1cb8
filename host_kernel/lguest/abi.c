/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forms of struct lguest_data: what stands behind tsc_khz differs between versions of Linux (lguest_abi.h).
 * Read before: hypercalls.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"

u32 abi_data_bytes(void)
{
	switch (machine.abi) {
	case LGUEST_DATA_0:
		return sizeof(struct lguest_data_old);
	case LGUEST_DATA_2:
		return sizeof(struct lguest_data_second);
	default:
		return sizeof(struct lguest_data);
	}
}

/* At LGUEST_INIT: copy the fields that the Guest sets.  Each is read once. */
void abi_read(const struct lguest_data *data)
{
	const struct lguest_data_second *second = (const struct lguest_data_second *)data;
	const struct lguest_data_old *old = (const struct lguest_data_old *)data;

	if (machine.abi == LGUEST_DATA_0) {
		guest.noirq_start = read_once(&old->noirq_start);
		guest.noirq_end = read_once(&old->noirq_end);
		guest.kernel_address = read_once(&old->kernel_address);
		guest.syscall_vec = read_once(&old->syscall_vec);
	} else if (machine.abi == LGUEST_DATA_2) {
		guest.noirq_start = read_once(&second->noirq_iret);
		guest.noirq_end = guest.noirq_start + 1; /* this one instruction */
		guest.kernel_address = read_once(&second->kernel_address);
		guest.syscall_vec = read_once(&second->syscall_vec);
	} else {
		guest.noirq_start = read_once(&data->noirq_start);
		guest.noirq_end = read_once(&data->noirq_end);
		guest.kernel_address = read_once(&data->kernel_address);
		guest.syscall_vec = read_once(&data->syscall_vec);
	}
	if (guest.kernel_address > SWITCHER_BASE || guest.kernel_address < 0x400000)
		kill_guest("bad kernel address %#x in lguest_data", guest.kernel_address);
}
