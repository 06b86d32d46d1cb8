/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `bench` command. */
#ifndef BENCH_H
#define BENCH_H

void bench_command(char *names);

#endif
