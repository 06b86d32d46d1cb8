/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of input, edited as it is typed. */
#ifndef LINE_H
#define LINE_H
#include "switcher/layouts/types.h"

enum line_end {
	LINE_ENTERED,
	LINE_CANCELLED, /* Ctrl-C */
	LINE_ENDED,     /* Ctrl-D: end of input; the line holds the text typed before it */
};

enum line_end line_read(char *line, u32 room);

#endif
