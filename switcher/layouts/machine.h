/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine contract: what a VM looks like to the Host kernel, and the memory that it shares with the Launcher.
 * Both engines provide exactly this.  Read by C, and by tools/layouts.py for Python (lguest_pages.h says what it understands).
 *
 * Entry: 32-bit protected mode, flat 4 GiB segments, paging off, interrupts off, ebx = address of struct
 * machine.  Memory is one block from 0; the hole of a PC below 1 MiB (0xA0000 to 0xFFFFF) is not used.
 * All addresses here are VM-physical unless they say Guest-physical: VM-physical = Guest-physical + guest_base.
 *
 * Read next: host_kernel/core/start.S.
 * Next in the book: lguest_py/shared_memory/layout.py.
 */
#ifndef SWITCHER_LAYOUTS_MACHINE_H
#define SWITCHER_LAYOUTS_MACHINE_H
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/virtio.h"

#define MACHINE_MAGIC    0x7473676C
#define MACHINE_ADDRESS  0x1000  /* where the Launcher puts struct machine */
#define MAILBOX_ADDRESS  0x10000 /* where the Launcher puts struct mailbox; below 0xA0000 */
#define HOST_KERNEL_BASE 0x100000
#define HOST_MINIMUM     0x1000000 /* Host area: guest_base is at least this; a multiple of 4 MiB */

#define PERSONALITY_LGUEST 1
#define PERSONALITY_NATIVE 2
#define BUS_PAGE 1 /* the device page of lguest's generation 1 (lguest_abi.h) */
#define BUS_PCI  2
#define SWITCHER_CLASSIC 0
#define SWITCHER_LEAN    1
#define TSC_DIGITS 8
#define EXIT_VALUE 0x21 /* distinct from every other exit status of QEMU */

struct machine {
	u32 magic;
	u32 memory_bytes; /* the whole VM: Host area, Guest RAM, device pages */
	u32 guest_base;
	u32 guest_bytes;  /* Guest RAM; a multiple of 4096 */
	u32 device_pages; /* pages just above Guest RAM that the Guest may map too */
	u32 guest_entry;  /* Guest-physical address of its first instruction */
	u32 boot_params;  /* Guest-physical: esi there */
	u32 personality;
	u32 tsc_khz;      /* 0: unknown; the Host kernel measures it against the local APIC's timer (1 GHz on both engines) */
	u32 wall_nanoseconds;
	u64 wall_seconds; /* since 1970, when the machine was started */
	u32 doorbell_port;     /* OUT of a byte: the Launcher wakes */
	u32 doorbell_pin;      /* I/O APIC pin of the Launcher's interrupt, edge-triggered */
	u32 doorbell_ack_port; /* base of a 16550 whose receiver must be emptied after each interrupt; 0: none */
	u32 debug_port;        /* OUT of a byte: text for the developer */
	u32 exit_port;         /* OUT of EXIT_VALUE ends the machine; struct mailbox has the reason */
	u32 switcher;          /* SWITCHER_CLASSIC or SWITCHER_LEAN */
	u32 bus;               /* BUS_PAGE or BUS_PCI */
	u32 tsc_text;          /* Guest-physical: TSC_DIGITS characters of the command line to be replaced by the TSC's rate in kHz; 0: none */
	u32 abi;               /* form of struct lguest_data (lguest_abi.h): LGUEST_DATA_... */
	u32 bar_base;          /* BUS_PCI: Guest-physical window for BARs, above RAM, never memory; a multiple of 1 MiB */
	u32 bar_bytes;
	u32 tables_end;        /* LGUEST_DATA_0: Guest-physical end of the room for the first page tables */
	u32 poll_microseconds; /* how long an idle Guest's Host kernel looks for an answer of the Launcher before it halts; 0: not */
	u32 sets_flag_by_popf; /* native: 1: the kernel sets its interrupt flag by popf too, as Linux did before 5.12 */
	u32 device_writes; /* in the Host area: a byte for each frame of RAM and device pages, one of the following; on a page boundary */
	u32 restored;      /* 1: the memory is that of a machine that was saved; the Host kernel goes on there */
};

/*
 * What devices wrote to a frame, beside the Guest's processor (host_kernel/memory/dirty.c).  The Launcher sets a byte after it
 * wrote there, and before it gives the buffer back to the driver.  The Host kernel sets DEVICE_WROTE to 0 and then looks at
 * the frame.
 */
#define DEVICE_WROTE 1
#define DEVICE_RING  2 /* it has a used ring, which the Launcher writes at any time: stays until the Launcher changes it */

/* The ACPI registers of the native personality (lguest_py/images/acpi.py has the tables). */
#define ACPI_PM1_EVENT      0x600
#define ACPI_PM1_CONTROL    0x604
#define ACPI_PM_TIMER       0x608
#define LOCAL_APIC_ADDRESS  0xFEE00000 /* the machine's own and a native Guest's are at the usual places */
#define IO_APIC_ADDRESS     0xFEC00000
#define IO_APIC_CLOCK_PIN   2          /* of a native Guest: the clock is interrupt 0 elsewhere */
#define ACPI_SLEEP_TYPE_OFF 5

/*
 * The PCI bus: bus 0, one function a slot.  The Launcher fills an array of these before the machine runs.  The Host kernel
 * answers ports 0xCF8 and 0xCFC from it, so that sizing and moving a BAR, like every other write, is only a mask.
 * BAR 0 holds all virtio registers, a page for each kind:
 */
#define PCI_ADDRESS  0x20000
#define PCI_SLOTS    32
#define BAR_COMMON   0x0000 /* struct virtio_pci_common_cfg (virtio 1.2, 4.1.4.3): answered by the Launcher */
#define BAR_ISR      0x1000 /* answered by the Host kernel */
#define BAR_MSIX_TABLE   0x1800 /* answered by the Host kernel, like the next */
#define BAR_MSIX_PENDING 0x1C00
#define MSIX_VECTORS 2
#define MSIX_CONFIG  16     /* in mailbox.vectors: the first bit for interrupts of the configuration */
#define BAR_DEVICE   0x2000 /* the device's configuration space: answered by the Launcher */
#define BAR_NOTIFY   0x3000 /* queue n's doorbell is at 4 * n: one NOTIFY record, and the Guest continues */
#define BAR_BYTES    0x4000
#define NOTIFY_PCI   0xFF000000 /* a NOTIFY record of a PCI function: this, slot << 16, and the queue's number */

struct pci_function {
	u8 config[256];   /* configuration space; vendor 0xFFFF: there is no function here */
	u8 writable[256]; /* the bits of it that the Guest can change */
	u32 irq;          /* its interrupt: a virtual interrupt of lguest, or a line of the PC; 0: none */
	u32 window;       /* offset in config of the capability that reaches BAR 0 through config space (4.1.4.9); 0: none */
	u32 emergency;    /* offset in BAR 0 of a console's emergency write: its bytes are console text; 0: none */
	u32 msix;         /* offset in config of the capability for MSI-X; 0: none */
};

/*
 * What a processor has that its memory has not, of a machine that stands still.  The Host kernel's descriptor tables, interrupt
 * controllers and debug registers are made again from what it knows.
 */
struct saved_processor {
	u32 ebx;
	u32 esi;
	u32 edi;
	u32 ebp;
	u32 esp;      /* the return address is there */
	u32 cr0;
	u32 cr3;
	u32 cr4;
	u32 efer;     /* 0: it has no such register */
	u32 features[7]; /* by CPUID: programs may have looked, and use them (host_kernel/machine/saved.c) */
	u8 fpu[512];  /* by fxsave */
};

/* Why the run ended: mailbox.end_kind. */
#define END_NONE      0
#define END_POWER_OFF 1
#define END_RESTART   2
#define END_PANIC     3 /* the Guest reported a panic: end_reason is its message */
#define END_KILLED    4 /* the Guest broke a rule */
#define END_INTERNAL  5 /* the Host kernel itself failed */
#define END_HALTED    6 /* the Guest halted, and no interrupt can wake it */

#define END_TRIPLE_FAULT 7 /* native: an exception could not be delivered, nor could the double fault */
#define END_OTHER_PROCESSOR 9 /* restored on a processor that lacks a feature of the one where it was saved */
#define END_OTHER_TABLES 8 /* native: the Guest turned on paging with or without PAE, and this Host kernel is for the other */

/* Why an exception could not be delivered: fault_record.failed; 0: it was delivered. */
#define FAILED_IDT_LIMIT   1 /* its gate is beyond the IDT's limit */
#define FAILED_IDT_PAGE    2 /* its gate is not mapped: fault_record.where */
#define FAILED_NOT_PRESENT 3
#define FAILED_GATE_TYPE   4
#define FAILED_TSS         5 /* the TSS, which holds the stack pointer, is not mapped: where */
#define FAILED_STACK       6 /* the stack is not writable: where */

#define FAULT_RECORDS   4
#define SWITCH_RECORDS  64
#define NOTIFY_RECORDS  64
#define TEXT_BYTES      8192
#define INPUT_BYTES     1024
#define REASON_BYTES    256
#define VIRTUAL_IRQS    32
#define HYPERCALL_COUNT 32

/* One exit from the Guest, for the report.  cr2 is valid for trapnum 14 only. */
struct switch_record {
	u64 tsc;
	u32 trapnum;
	u32 errcode;
	u32 cs;
	u32 eip;
	u32 eax;
	u32 cr2;
};

/*
 * The trace (host_kernel/core/trace.c, docs/trace.md): a ring of records of 64 bytes in the Host area, where no Guest can map it.
 * Each exit has a trace_record.  A sample follows the exit after which it was taken: a trace_stack, and more of them where one
 * does not hold all of the stack.
 */
#define TRACE_ADDRESS 0x30000 /* behind the PCI functions, below 0xA0000 */
#define TRACE_RECORDS 4096    /* a power of two */
#define TRACE_SAMPLE      0x200 /* trace_record.kind: no exit but a trace_stack; a sample of the Guest */
#define TRACE_SAMPLE_HOST 0x201 /* the same, taken in the Host kernel before it let the Guest go on there */
#define TRACE_SAMPLE_MORE 0x202 /* the rest of the one before */
#define TRACE_ADDRESSES  14
#define TRACE_DATA       4

struct trace_record {
	u16 kind;       /* the exit's vector, or TRACE_SAMPLE... */
	u16 cs;
	u32 lost;       /* how many records found no room right before this one */
	u64 entered;    /* TSC when the Guest was entered */
	u64 left;       /* and when this exit had switched worlds */
	u64 idle;       /* TSC when, before it was entered, it was found idle; 0: it was not */
	u32 eip;
	u32 eax;
	u32 directory;  /* of its page tables: guest.directory */
	u32 fast_paths; /* untrusted.fast_paths: what the Switcher has handled by itself.  The Guest can forge it */
	u32 data[4];    /* a page fault: error code, cr2; a hypercall: ebx, ecx, edx, esi; else error code, edx, 8 bytes at eip */
};

struct trace_stack {
	u16 kind;
	u8 count;           /* of addresses here */
	u8 ring;            /* that of eip */
	u32 lost;
	u32 addresses[14];  /* eip (in TRACE_SAMPLE_MORE not), then return addresses, the innermost first */
};

/* The arguments of an exit that was a hypercall, beside its switch_record. */
struct call_arguments {
	u32 arg1;
	u32 arg2;
	u32 arg3;
	u32 arg4;
};

/* What an entry of the asynchronous ring held when it was done last. */
struct ring_record {
	u32 switches; /* the world switch: mailbox.switches, modulo 2^32; written last; 0: none */
	u32 nr;
	u32 arg1;
	u32 arg2;
	u32 arg3;
	u32 arg4;
};

/* One exception that could not be delivered.  cr2 is valid for vector 14 only. */
struct fault_record {
	u32 vector;
	u32 errcode;
	u32 cr2;
	u32 failed;
	u32 where;
	u32 raised; /* the vector that this failure raises; some pairs make a double fault */
};

/*
 * What gdb wants of the Guest, for which the Launcher speaks (lguest_py/gdb).  The Launcher asks only while the machine stands
 * still.  Read next: host_kernel/debugger/debugger.c.
 */
#define DEBUGGER_ADDRESS    0x48000 /* where struct debugger is; below 0xA0000 */
#define DEBUGGER_ATTACHED   1 /* in debugger.wanted */
#define DEBUGGER_STEP       2 /* stop after one instruction */
#define DEBUGGER_DELIVER    4 /* the int3 at which it stopped is the Guest's own: the Guest gets it */
#define DEBUGGER_INT3       1 /* why it stopped: at an int3, which has not run, */
#define DEBUGGER_STEPPED    2 /* after a step, */
#define DEBUGGER_HARDWARE   3 /* or a debug register: debugger.hits */
#define DEBUGGER_BYTES      1024
struct debugger {
	/* The Host kernel writes. */
	u32 stops;      /* how often the Guest stopped by itself, */
	u32 cause;      /* and why it did last: DEBUGGER_... */
	u32 hits;       /* which debug registers, as bits; with DEBUGGER_STEPPED too */
	u32 done;       /* the last request that was done */
	u32 processor;  /* VM-physical: struct saved_processor, of a machine that stands still */
	u32 cr0;        /* of the Guest, when it stopped or stood still: CR0, 2, 3 and 4, as far as it has them */
	u32 cr2;
	u32 cr3;
	u32 cr4;
	u32 hardware;   /* 1: the processor's breakpoints go off; in an emulated SVM they do not */

	/* The Launcher writes. */
	u32 seen;       /* of stops: the last one that it knows of; until then the machine stands still, too */
	u32 wanted;     /* DEBUGGER_... from the next time on that the machine goes on */
	u32 registers[4]; /* DR0 to 3, and 7, of gdb's breakpoints: they come before the Guest's own */
	u32 control;
	u32 request;    /* a number: write data to the Guest's memory, */
	u32 address;    /* Guest-physical, in one page */
	u32 count;
	u8 data[1024];
};

#define LINEAR_MAP 0xFFFFFFFF /* the directory of a Guest that has no page tables yet: not the address of a page */

/*
 * Every word has one writer.  Counters only grow (modulo 2^32).  The producer of a ring writes its head, the consumer its
 * tail; both count entries (bytes for text and input) and are reduced modulo the ring's size on use.
 */
struct mailbox {
	/* The Host kernel writes; the Launcher clears doorbell before it reads the rest, and sets it while it looks by itself. */
	u32 doorbell;
	u32 end_kind;
	u32 rings_seen; /* bit n: the Guest was seen in ring n */
	u32 tsc_khz;
	u64 boot_tsc;  /* at the Host kernel's first instruction */
	u64 guest_tsc; /* at the Guest's first entry */
	u64 end_tsc;
	u64 paused_tsc; /* when it last began to stand still */
	u32 notify_head;
	u32 text_head;
	u32 notify[64]; /* Guest-physical addresses of NOTIFY hypercalls, or NOTIFY_PCI; the Guest waits for one in the device page to be consumed */
	u64 switches;   /* world switches: how often the Guest was entered */
	u32 by_vector[256];   /* exits, by vector */
	u32 by_hypercall[32]; /* hypercalls, by number: synchronous and from the ring */
	u32 interrupts_delivered;
	u32 faults_filled;
	u32 faults_reflected;
	u32 switch_head;
	struct switch_record last[64];
	struct registers guest; /* at the end of the run */
	u32 guest_cr2;
	u32 guest_directory;  /* Guest-physical, or LINEAR_MAP */
	u32 shadow_directory; /* VM-physical */
	u32 host_eip;         /* where the Host kernel failed or killed the Guest */
	u8 end_reason[256];   /* text, NUL-ended */
	u32 input_tail;
	u32 fault_count;
	struct fault_record faults[4]; /* the exceptions that led to a double or triple fault, the oldest first */
	u32 register_head;    /* accesses to registers of BAR 0 that the Launcher answers; the Guest waits for each */
	u32 register_slot;
	u32 register_offset;  /* in BAR 0 */
	u32 register_size;    /* 1, 2 or 4 */
	u32 register_write;   /* 0: a read */
	u32 register_value;
	u32 polling;          /* 1: the Host kernel looks at what the Launcher writes, so that no interrupt is needed */
	u32 idles;            /* how often the Guest was found idle */
	u32 irq_seen[32];     /* of irq_raised and config_raised below: what has been handled */
	u32 config_seen[32];
	u32 frame_at;         /* VM-physical: where the Guest's registers are between two switches (struct registers), */
	u32 directory_at;     /* guest_directory, */
	u32 state_at;         /* and struct lguest_state: for the report on a Guest that was stopped */
	u32 host_cr0;         /* of the Host kernel at the end of the run, */
	u32 host_cr2;
	u32 host_cr3;
	u32 host_cr4;
	u32 ring_cursor;      /* the ring's next entry when it was last drained to the end */
	struct call_arguments arguments[64]; /* of last */
	struct ring_record ring[64];
	u32 pad3;
	u32 paused;           /* 1: the machine stands still between two world switches, as the Launcher asked by pause */
	struct registers host; /* and where it ended it: all of them at an exception, else eip and esp */
	u32 trace_head;
	u32 traced;           /* 1: exits are written to the ring of the trace */
	u8 text[8192];        /* console output: of lguest's early console, or of the serial port */

	/* The Launcher writes. */
	u32 notify_tail;
	u32 text_tail;
	u32 input_head;
	u32 register_tail;
	u32 register_answer;
	u32 pause;          /* 1: the Host kernel is to stand still; it looks when it is interrupted */
	u32 trace;          /* 1: write a trace; it looks when it starts, and when it goes on after it stood still */
	u32 trace_tail;
	u32 trace_rate;     /* samples a second, 0: none; it looks when it looks at trace */
	u32 pad4;
	u8 input[1024];     /* for the serial port; the Host kernel rings the doorbell when it is half empty again */
	u32 irq_raised[32]; /* how often a device raised Guest interrupt n, n from 1 (0 is the clock); BUS_PCI: a queue of slot n did */
	u32 config_raised[32]; /* BUS_PCI: how often slot n raised an interrupt for a change of its configuration */
	u32 vectors[32];       /* BUS_PCI: the MSI-X vectors of slot n that its queues raise, as bits; from bit MSIX_CONFIG on those of its configuration */
};

#endif
