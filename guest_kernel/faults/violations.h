/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Violations of the hypercall interface, for each of which the Host ends the Guest. */
#ifndef VIOLATIONS_H
#define VIOLATIONS_H
#include "switcher/layouts/types.h"

struct violation {
	const char *name;
	const char *about;
	void (*run)(void);
};

extern const struct violation violations[];
extern const u32 violation_count;

#endif
