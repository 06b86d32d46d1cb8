/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source of random bytes. */
#ifndef ENTROPY_H
#define ENTROPY_H
#include "switcher/layouts/types.h"

#define ENTROPY_BYTES 256 /* the most that one request asks for */

const u8 *entropy_read(u32 *bytes); /* at most as many as asked for; NULL: there is no source, or it is broken */

#endif
