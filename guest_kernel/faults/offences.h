/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a Guest kernel must not do. */
#ifndef OFFENCES_H
#define OFFENCES_H
#include "switcher/layouts/types.h"

struct offence {
	const char *name;
	const char *about;
	void (*commit)(void);
};

extern const struct offence offences[];
extern const u32 offence_count;

#endif
