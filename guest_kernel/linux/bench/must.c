/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends of the program and of the machine.  Source: Linux's manual, reboot(2), ioctl_tty(2).  Read before: must.h. */
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

enum { NR_IOCTL = 54, NR_REBOOT = 88 };
enum { TCSBRK = 0x5409, REBOOT_MAGIC = (int)0xFEE1DEAD, REBOOT_MAGIC_2 = 672274793, POWER_OFF = 0x4321FEDC,
       RESTART = 0x01234567 };

static void end(u32 how) __attribute__((noreturn));
static void end(u32 how)
{
	CALL(NR_IOCTL, 1, TCSBRK, 1); /* waits for the output */
	CALL(NR_REBOOT, (u32)REBOOT_MAGIC, REBOOT_MAGIC_2, how);
	for (;;)
		sleep_ms(1000);
}

s32 must(const char *what, s32 value)
{
	if ((u32)value < -PAGE)
		return value;
	print("init: %s: error %d\n", what, -value);
	if (getpid() == 1)
		end(RESTART);
	leave(1);
}

s32 child_ended(s32 pid)
{
	s32 status = 0;

	MUST(waitpid(pid, &status, 0));
	return EXITED(status) ? EXIT_OF(status) : -1;
}

void init_power_off(void)
{
	end(POWER_OFF);
}
