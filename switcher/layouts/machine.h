/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine contract: what a VM looks like to the Host kernel, and the memory through which it talks to
 * the Launcher.  Both engines offer exactly this.  Read by C, and by tools/layouts.py for Python
 * (see switcher/layouts/lguest_pages.h for what may stand here).
 *
 * Entry: 32-bit protected mode, flat 4 GiB segments, paging off, interrupts off, ebx = address of struct
 * machine.  Memory is one block from 0; what QEMU hides below 1 MiB (0xA0000 to 0xFFFFF) is not used.
 * All addresses here are VM-physical unless they say Guest-physical: VM-physical = Guest-physical + guest_base.
 *
 * Read next: host_kernel/core/start.S.
 */
#ifndef SWITCHER_LAYOUTS_MACHINE_H
#define SWITCHER_LAYOUTS_MACHINE_H
#include "switcher/layouts/lguest_pages.h"

#define MACHINE_MAGIC    0x7473676C
#define MACHINE_ADDRESS  0x1000  /* where the Launcher puts struct machine */
#define MAILBOX_ADDRESS  0x10000 /* where the Launcher puts struct mailbox; below 0xA0000 */
#define HOST_KERNEL_BASE 0x100000
#define HOST_MINIMUM     0x1000000 /* Host area: guest_base is at least this; a multiple of 4 MiB */

#define PERSONALITY_LGUEST 1
#define PERSONALITY_NATIVE 2
#define SWITCHER_CLASSIC 0
#define SWITCHER_LEAN    1
#define TSC_DIGITS 8
#define EXIT_VALUE 0x21 /* so that no other end of an emulator's can be taken for this one */

struct machine {
	u32 magic;
	u32 memory_bytes; /* the whole VM: Host area, Guest RAM, device pages */
	u32 guest_base;
	u32 guest_bytes;  /* Guest RAM; a multiple of 4096 */
	u32 device_pages; /* pages just above Guest RAM that the Guest may map too */
	u32 guest_entry;  /* Guest-physical address of its first instruction */
	u32 boot_params;  /* Guest-physical: esi there */
	u32 personality;
	u32 tsc_khz;      /* 0: not known, the Host kernel measures it against the local APIC's timer (1 GHz on both engines) */
	u32 wall_nanoseconds;
	u64 wall_seconds; /* since 1970, when the machine was started */
	u32 doorbell_port;     /* OUT of a byte: the Launcher wakes */
	u32 doorbell_pin;      /* I/O APIC pin of the Launcher's interrupt, edge-triggered */
	u32 doorbell_ack_port; /* base of a 16550 to be emptied after each; 0: none */
	u32 debug_port;        /* OUT of a byte: text for the developer */
	u32 exit_port;         /* OUT of EXIT_VALUE: the machine ends; struct mailbox says why */
	u32 switcher;          /* which one runs the Guest */
	u32 pad;
	u32 tsc_text;          /* Guest-physical: TSC_DIGITS characters of the command line to be the TSC's rate in kHz; 0: none */
};

/* Where the little of ACPI is that the native personality offers (lguest_py/images/acpi.py has the tables). */
#define ACPI_PM1_EVENT      0x600
#define ACPI_PM1_CONTROL    0x604
#define ACPI_SLEEP_TYPE_OFF 5

/* How it ended: mailbox.end_kind. */
#define END_NONE      0
#define END_POWER_OFF 1
#define END_RESTART   2
#define END_PANIC     3 /* the Guest said that it panicked: end_reason is its message */
#define END_KILLED    4 /* the Guest broke a rule */
#define END_INTERNAL  5 /* the Host kernel itself failed */
#define END_HALTED    6 /* the Guest stopped for good: halted with nothing that could wake it */

#define END_TRIPLE_FAULT 7 /* native: an exception had no handler, and neither had what followed from that */

/* Why an exception could not be delivered: fault_record.failed; 0: it was. */
#define FAILED_IDT_LIMIT   1 /* its gate lies beyond the IDT's limit */
#define FAILED_IDT_PAGE    2 /* its gate is not mapped: fault_record.where */
#define FAILED_NOT_PRESENT 3
#define FAILED_GATE_TYPE   4
#define FAILED_TSS         5 /* the TSS, which names the stack, is not mapped: where */
#define FAILED_STACK       6 /* the stack cannot be written: where */

#define FAULT_RECORDS   4
#define SWITCH_RECORDS  64
#define NOTIFY_RECORDS  64
#define TEXT_BYTES      8192
#define INPUT_BYTES     1024
#define REASON_BYTES    256
#define VIRTUAL_IRQS    32
#define HYPERCALL_COUNT 32

/* One exit from the Guest, for the report on its death.  cr2 holds for trapnum 14 only. */
struct switch_record {
	u64 tsc;
	u32 trapnum;
	u32 errcode;
	u32 cs;
	u32 eip;
	u32 eax;
	u32 cr2;
};

/* One exception without a way to its handler.  cr2 holds for vector 14 only. */
struct fault_record {
	u32 vector;
	u32 errcode;
	u32 cr2;
	u32 failed;
	u32 where;
	u32 raised; /* the vector that this failure raises; with a bad pair, a double fault comes of it */
};

/*
 * Every word has one writer.  Counters only grow (modulo 2^32).  A ring's head is written by who fills it,
 * its tail by who empties it; both count entries (bytes for text) and are reduced modulo its size on use.
 */
struct mailbox {
	/* Host kernel writes; the Launcher clears doorbell before it looks at the rest. */
	u32 doorbell;
	u32 end_kind;
	u32 rings_seen; /* bit n: the Guest was seen in ring n */
	u32 tsc_khz;
	u64 boot_tsc;  /* at the Host kernel's first instruction */
	u64 guest_tsc; /* at the Guest's first entry */
	u64 end_tsc;
	u32 notify_head;
	u32 text_head;
	u32 notify[64]; /* Guest-physical addresses of NOTIFY hypercalls; one in the device page holds the Guest until consumed */
	u64 switches;   /* world switches: times the Guest was entered */
	u32 by_vector[256];   /* exits, by vector */
	u32 by_hypercall[32]; /* hypercalls, by number: synchronous and from the ring */
	u32 interrupts_delivered;
	u32 faults_filled;
	u32 faults_reflected;
	u32 switch_head;
	struct switch_record last[64];
	struct registers guest; /* at the end */
	u32 guest_cr2;
	u32 guest_directory;  /* Guest-physical; 0xFFFFFFFF: still in the linear map */
	u32 shadow_directory; /* VM-physical */
	u32 host_eip;         /* where the Host kernel failed, or where in it the Guest was killed */
	u8 end_reason[256];   /* text, NUL-ended */
	u32 input_tail;
	u32 fault_count;
	struct fault_record faults[4]; /* how a double or triple fault came: the first first */
	u8 text[8192];        /* console output: of lguest's early console, or of the serial port */

	/* The Launcher writes. */
	u32 notify_tail;
	u32 text_tail;
	u32 input_head;
	u32 pad2;
	u8 input[1024];     /* for the serial port; the doorbell rings when it is half empty again */
	u32 irq_raised[32]; /* how often a device raised Guest interrupt n; n from 1 (0 is the clock) */
};

#endif
