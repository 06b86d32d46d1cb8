/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A message of 9P2000.L: written field by field, sent, and its answer read field by field. */
#ifndef MESSAGE_H
#define MESSAGE_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define MESSAGE_BYTES 8192 /* the longest, either way */

#define P9_LERROR  7
#define P9_LOPEN   12
#define P9_LCREATE 14
#define P9_READDIR 40
#define P9_VERSION 100
#define P9_ATTACH  104
#define P9_WALK    110
#define P9_READ    116
#define P9_WRITE   118
#define P9_CLUNK   120

#define P9_BROKEN 5 /* EIO: the device is broken, or the answer is */

void message_start(u8 type);
void message_put(u64 value, u32 bytes);
void message_put_text(const char *text, u32 length);
void message_put_bytes(const void *data, u32 bytes);

bool message_open(u32 number); /* the share that messages go to; false: there is none */
bool message_ready(void); /* it was opened, and works */
/* Sends it and waits for the answer. Returns 0, or the error's number. */
u32 message_send(void);

/* The next field of the answer; 0 and NULL behind its end. */
u64 message_get(u32 bytes);
const u8 *message_get_bytes(u32 bytes);

#endif
