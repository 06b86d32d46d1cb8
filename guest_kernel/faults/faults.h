/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `fault` command. */
#ifndef FAULTS_H
#define FAULTS_H

void fault_command(char *name);

#endif
