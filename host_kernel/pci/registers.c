/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to the registers in BAR 0, from an instruction (mmio.c) or through configuration space (config.c).
 * Source: virtio 1.2, 4.1.4.  Read before: functions.c.
 * Picture: docs/pictures/life-notify.svg.
 * Next in the book: physical.c.
 */
#include "host_kernel/pci/pci.h"
#include "host_kernel/instruction/instruction.h"
#include "host_kernel/machine/mailbox.h"

#define QUEUE_SHIFT   2  /* the doorbells are 4 bytes apart */

static bool is_access(u32 offset, u32 size)
{
	return (size == 1 || size == 2 || size == 4) && offset % size == 0 && offset < BAR_BYTES;
}

/* A register that does not exist reads as zero. */
u32 bar_read(u32 slot, u32 offset, u32 size)
{
	if (!is_access(offset, size))
		return 0;
	switch (offset & ~(PAGE_BYTES - 1)) {
	case BAR_COMMON:
	case BAR_DEVICE:
		return mailbox_register(slot, offset, size, false, 0);
	case BAR_ISR:
		return offset == BAR_ISR ? pci_take_isr(slot) : msix_read(slot, offset, size);
	default:
		return 0;
	}
}

void bar_write(u32 slot, u32 offset, u32 size, u32 value)
{
	u8 text = value;

	if (!is_access(offset, size))
		return;
	if (offset && offset == pci_function(slot)->emergency) {
		mailbox_text(&text, 1);
		return;
	}
	switch (offset & ~(PAGE_BYTES - 1)) {
	case BAR_COMMON:
	case BAR_DEVICE:
		mailbox_register(slot, offset, size, true, value & mask_of(size));
		if (offset == BAR_COMMON + COMMON(device_status) && !(value & 0xFF))
			pci_reset_isr(slot);
		break;
	case BAR_ISR:
		msix_write(slot, pci_function(slot), offset, size, value);
		break;
	case BAR_NOTIFY:
		mailbox_notify(NOTIFY_PCI | slot << 16 | (offset - BAR_NOTIFY) >> QUEUE_SHIFT);
		break;
	default:
		break;
	}
}
