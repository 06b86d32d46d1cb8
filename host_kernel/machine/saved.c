/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stand still between two world switches, as the Launcher asks: to be looked at, or saved.  All that the Guest is made of is in
 * memory then.  The Launcher may start another machine with a copy of this memory, on either engine: the Host kernel goes on
 * here, on that machine's processor and interrupt controllers.  The engine sees to it that the time-stamp counter goes on.
 * Read before: mailbox.c, which calls this.  Read next: saved.S; host_kernel/core/restored.S.
 * Next in the book: saved.S.
 */
#include "host_kernel/machine/saved.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/host.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"

struct saved_processor saved_processor __attribute__((aligned(16)));

/* What CPUID tells programs.  In leaf 1 the local APIC's number and the like are not among these words. */
static void read_features(u32 words[SAVED_FEATURES])
{
	u32 leaf_7[4], leaf_1[4], extended[4];

	cpuid(CPUID_FEATURES, leaf_1);
	cpuid(CPUID_MORE_FEATURES, leaf_7);
	cpuid(CPUID_EXTENDED_FEATURES, extended);
	words[0] = leaf_1[2];
	words[1] = leaf_1[3];
	words[2] = leaf_7[1];
	words[3] = leaf_7[2];
	words[4] = leaf_7[3];
	words[5] = extended[2];
	words[6] = extended[3];
}

/* Has this processor all that the one had on which the Guest was saved? */
bool saved_fits(void)
{
	u32 here[SAVED_FEATURES];

	read_features(here);
	for (u32 word = 0; word < SAVED_FEATURES; word++)
		if (saved_processor.features[word] & ~here[word])
			return false;
	return true;
}

void (*after_standing_still)(void); /* what else the Launcher may have changed its mind about */

/* not_yet: must it stand still for another reason?  Called each time that the Launcher has interrupted the machine. */
void stand_still(bool (*not_yet)(void))
{
	clock_disarm();
	read_features(saved_processor.features);
#ifdef PAE
	saved_processor.efer = cpu_has_nx() ? EFER_NXE : 0;
#endif
	if (!save_processor()) {
		mailbox->paused_tsc = rdtsc();
		mailbox->paused = 1;
		mailbox_doorbell();
	}
	while (not_yet() || read_once(&mailbox->pause))
		wait_for_interrupt();
	mailbox->paused = 0;
	mailbox_doorbell();
	after_standing_still();
}
