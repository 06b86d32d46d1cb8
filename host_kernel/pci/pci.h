/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI bus: one function a slot, whose BAR 0 holds the registers of a virtio device (switcher/layouts/machine.h).
 * The Host kernel answers what is only state: configuration space, the ISR, a notify.  The Launcher answers the rest.
 * All that comes from the Guest is hostile: slots, offsets and sizes are checked where they are used.
 * Read next: functions.c, then config.c (ports), registers.c (BAR 0) and mmio.c (instructions).
 * Next in the book: functions.c.
 */
#ifndef HOST_KERNEL_PCI_PCI_H
#define HOST_KERNEL_PCI_PCI_H
#include <stdbool.h>
#include "host_kernel/base/host.h"

/* functions.c */
#define NO_SLOT PCI_SLOTS
void pci_init(void);
struct pci_function *pci_function(u32 slot);
u32 pci_find(u32 physical, u32 *offset);
void pci_changed(u32 slot);
void pci_raise(u32 slot, u32 cause);
u32 pci_take_isr(u32 slot);
void pci_reset_isr(u32 slot);

/* msix.c */
void msix_init(void);
bool msix_is_on(const struct pci_function *function);
void msix_update(u32 slot, const struct pci_function *function);
void msix_raise(u32 slot, const struct pci_function *function, u32 cause);
void msix_reset(u32 slot);
u32 msix_read(u32 slot, u32 offset, u32 size);
void msix_write(u32 slot, const struct pci_function *function, u32 offset, u32 size, u32 value);

/* registers.c */
u32 bar_read(u32 slot, u32 offset, u32 size);
void bar_write(u32 slot, u32 offset, u32 size, u32 value);

/* config.c */
#define PCI_PORTS       0xCF8u /* the address register, then the data register */
#define PCI_PORTS_COUNT 8u
#define RESET_PORT      0xCF9u /* one byte wide, and not of the PCI bus */
u32 pci_in(u16 port, u32 size);
void pci_out(u16 port, u32 value, u32 size);

static inline bool is_pci_port(u16 port, u32 size)
{
	return port - PCI_PORTS < PCI_PORTS_COUNT && !(port == RESET_PORT && size == 1);
}

/* mmio.c */
u32 io_memory_access(u32 address, bool flat);
#define IO_DONE 0u /* otherwise io_memory_access() returns the exception to inject */

/* physical.c */
bool io_load(u32 address, u32 size, u32 *value);
bool io_store(u32 address, u32 size, u32 value);

#endif
