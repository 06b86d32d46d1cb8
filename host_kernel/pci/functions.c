/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions on the bus: where their BARs are, and their interrupts.  Source: PCI Local Bus 3.0, 6.2 and 2.2.6.
 * Read before: pci.h.  Read next: config.c, registers.c.
 * Next in the book: config.c.
 */
#include "host_kernel/pci/pci.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/machine/mailbox.h"

#define CONFIG_VENDOR  0
#define CONFIG_COMMAND 4
#define CONFIG_BAR     0x10
#define NO_VENDOR      0xFFFFu
#define COMMAND_MEMORY        0x2u
#define COMMAND_NO_INTERRUPTS 0x400u
#define BAR_IS_PORTS 1u
#define BAR_FLAGS    0xFu
#define WINDOW_STEP  0x100000u

static struct pci_function *const functions = (struct pci_function *)PCI_ADDRESS;
static u32 bars[PCI_SLOTS]; /* Guest-physical; 0: not decoded */
static u8 isr[PCI_SLOTS];

/* The function in this slot; NULL: there is none. */
struct pci_function *pci_function(u32 slot)
{
	const u16 *vendor = (const u16 *)functions[slot % PCI_SLOTS].config + CONFIG_VENDOR / 2;

	return slot < PCI_SLOTS && *vendor != NO_VENDOR ? &functions[slot] : NULL;
}

static u32 command(const struct pci_function *function)
{
	return *(const u16 *)(function->config + CONFIG_COMMAND);
}

void pci_init(void)
{
	if (machine.bus != BUS_PCI) {
		machine.bar_bytes = 0;
		return;
	}
	if (machine.bar_base % WINDOW_STEP || machine.bar_base < guest.limit || machine.bar_bytes % PAGE_BYTES ||
	    machine.bar_bytes > -machine.bar_base)
		host_failed("bad window for BARs: %#x bytes at %#x", machine.bar_bytes, machine.bar_base);
	msix_init();
	for (u32 slot = 0; slot < PCI_SLOTS; slot++)
		if (pci_function(slot))
			pci_changed(slot);
}

/* The slot whose BAR 0 has this Guest-physical address, and the offset in it; NO_SLOT: nothing answers there. */
u32 pci_find(u32 physical, u32 *offset)
{
	for (u32 slot = 0; slot < PCI_SLOTS; slot++) {
		*offset = physical - bars[slot];
		if (bars[slot] && *offset < BAR_BYTES)
			return slot;
	}
	return NO_SLOT;
}

/* Does any function request service on this interrupt? */
static bool requested(u32 irq)
{
	for (u32 slot = 0; slot < PCI_SLOTS; slot++)
		if (isr[slot] && functions[slot].irq == irq && !(command(&functions[slot]) & COMMAND_NO_INTERRUPTS) &&
		    !msix_is_on(&functions[slot]))
			return true;
	return false;
}

static void update_line(u32 slot)
{
	u32 irq = functions[slot].irq;

	if (irq)
		personality.irq_line(irq, requested(irq));
}

/* The configuration of a function was written. */
void pci_changed(u32 slot)
{
	const struct pci_function *function = &functions[slot];
	u32 bar = *(const u32 *)(function->config + CONFIG_BAR), base = bar & ~BAR_FLAGS;
	u32 last = machine.bar_bytes - BAR_BYTES;

	bars[slot] = 0;
	if ((command(function) & COMMAND_MEMORY) && !(bar & BAR_IS_PORTS) && base % PAGE_BYTES == 0 &&
	    machine.bar_bytes >= BAR_BYTES && base - machine.bar_base <= last)
		bars[slot] = base;
	if (isr[slot])
		update_line(slot);
	msix_update(slot, function);
}

/* The Launcher raised an interrupt of this function. */
void pci_raise(u32 slot, u32 cause)
{
	if (!pci_function(slot))
		return;
	if (msix_is_on(&functions[slot])) {
		msix_raise(slot, &functions[slot], cause);
		return;
	}
	isr[slot] |= cause;
	update_line(slot);
}

/* Read the ISR: that clears it. */
u32 pci_take_isr(u32 slot)
{
	u32 value = isr[slot];

	isr[slot] = 0;
	if (value)
		update_line(slot);
	return value;
}

/* The driver has reset the device: what it raised before is no interrupt. */
void pci_reset_isr(u32 slot)
{
	mailbox_irqs_forget(slot);
	msix_reset(slot);
	pci_take_isr(slot);
}
