/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X of a virtio function: two vectors, so a driver of a device with many queues has one for them all, and one for the
 * configuration.  Which vectors its queues have is a register of the Launcher's, which keeps them in the mailbox.
 * Source: PCI Local Bus 3.0, 6.8.2; virtio 1.2, 4.1.5.1.2.  Read before: functions.c.
 */
#include "host_kernel/pci/pci.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/personality.h"

#define CONTROL        2 /* in the capability */
#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK   0x4000u
#define ENTRY_WORDS    4u
#define ENTRY_ADDRESS  0u
#define ENTRY_DATA     2u
#define ENTRY_CONTROL  3u
#define ENTRY_MASKED   1u
#define TABLE_BYTES    (MSIX_VECTORS * ENTRY_WORDS * 4)

static u32 table[PCI_SLOTS][MSIX_VECTORS][ENTRY_WORDS];
static u8 pending[PCI_SLOTS]; /* bit n: vector n is masked, and its interrupt waits */

void msix_init(void)
{
	for (u32 slot = 0; slot < PCI_SLOTS; slot++)
		for (u32 vector = 0; vector < MSIX_VECTORS; vector++)
			table[slot][vector][ENTRY_CONTROL] = ENTRY_MASKED;
}

static u32 control(const struct pci_function *function)
{
	if (!function->msix || function->msix > sizeof(function->config) - 4)
		return 0;
	return *(const u16 *)(function->config + function->msix + CONTROL);
}

/* Has the driver chosen MSI-X?  Then the function's line is silent. */
bool msix_is_on(const struct pci_function *function)
{
	return control(function) & CONTROL_ENABLE;
}

/* The configuration or the table was written: send what waited for it. */
void msix_update(u32 slot, const struct pci_function *function)
{
	if (!pending[slot] || (control(function) & (CONTROL_ENABLE | CONTROL_MASK)) != CONTROL_ENABLE)
		return;
	for (u32 vector = 0; vector < MSIX_VECTORS; vector++) {
		const u32 *entry = table[slot][vector];

		if (!(pending[slot] >> vector & 1) || (entry[ENTRY_CONTROL] & ENTRY_MASKED))
			continue;
		pending[slot] &= ~(1u << vector);
		personality.message(entry[ENTRY_ADDRESS], entry[ENTRY_DATA]);
	}
}

/* The Launcher raised an interrupt of this function. */
void msix_raise(u32 slot, const struct pci_function *function, u32 cause)
{
	u32 vectors = read_once(&mailbox->vectors[slot]);

	if (cause & ISR_CONFIG)
		vectors >>= MSIX_CONFIG;
	pending[slot] |= vectors & ((1u << MSIX_VECTORS) - 1);
	msix_update(slot, function);
}

void msix_reset(u32 slot)
{
	pending[slot] = 0;
}

/* Aligned accesses of 32 bits in the page BAR_ISR; others read as zero and write nothing. */
u32 msix_read(u32 slot, u32 offset, u32 size)
{
	u32 at = offset - BAR_MSIX_TABLE;

	if (size != 4)
		return 0;
	if (at < TABLE_BYTES)
		return table[slot][at / 4 / ENTRY_WORDS][at / 4 % ENTRY_WORDS];
	return offset == BAR_MSIX_PENDING ? pending[slot] : 0;
}

void msix_write(u32 slot, const struct pci_function *function, u32 offset, u32 size, u32 value)
{
	u32 at = offset - BAR_MSIX_TABLE, word = at / 4 % ENTRY_WORDS;

	if (size != 4 || at >= TABLE_BYTES || !function->msix)
		return;
	table[slot][at / 4 / ENTRY_WORDS][word] = word == ENTRY_CONTROL ? value & ENTRY_MASKED : value;
	msix_update(slot, function);
}
