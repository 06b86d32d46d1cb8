/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals and what a handler is given, as the kernel lays it out on i386.  Read before: system.h. */
#ifndef SIGNALS_H
#define SIGNALS_H
#include "guest_kernel/linux/system.h"

enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGALRM = 14,
       SIGCONT = 18, SIGSTOP = 19 };
enum { SI_USER = 0, SI_KERNEL = 0x80, SI_TKILL = -6, SEGV_MAPERR = 1, SEGV_ACCERR = 2, ILL_ILLOPN = 2, BUS_ADRALN = 1,
       TRAP_BRKPT = 1, TRAP_TRACE = 2, FPE_INTDIV = 1, FPE_FLTDIV = 3, FPE_FLTINV = 7 };
enum { SA_SIGINFO = 4, SA_RESTORER = 0x4000000, SA_ONSTACK = 0x8000000, SA_RESTART = 0x10000000, SA_NODEFER = 0x40000000 };
enum { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 };
enum { SS_ONSTACK = 1, SS_DISABLE = 2 };

struct signal_info {
	s32 signal, error, code;
	union {
		struct { s32 pid, uid; }; /* of the sender */
		u32 address; /* of a fault */
	};
	u32 rest[27];
};

struct alternate_stack {
	void *start;
	s32 flags;
	u32 bytes;
};

struct fpu_frame { /* first as fnsave has it, then as fxsave does */
	u32 saved[28];
	u8 fxsave[512];
};

struct signal_context {
	u32 flags, link;
	struct alternate_stack stack;
	u32 gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, trap, error, eip, cs, eflags, esp_at_signal, ss;
	struct fpu_frame *fpu;
	u32 old_mask, cr2;
	u64 mask;
};

typedef void signal_handler(s32 signal, struct signal_info *info, struct signal_context *context);

static inline u64 signal_bit(s32 signal)
{
	return 1ull << (signal - 1);
}

s32 signal_handle(s32 signal, signal_handler *handler, u32 flags, u64 mask);
s32 signal_mask(u32 how, u64 mask, u64 *old);
s32 signal_stack(const struct alternate_stack *stack, struct alternate_stack *old);
u64 signals_pending(void);
void signal_ticks(u32 us); /* SIGALRM again and again; 0 ends it */
#endif
