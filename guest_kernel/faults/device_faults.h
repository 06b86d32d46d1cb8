/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Violations of the rules of a device's queues and registers. */
#ifndef DEVICE_FAULTS_H
#define DEVICE_FAULTS_H

void abuse_command(char *arguments);
void fuzz_command(char *arguments);
void poke_command(char *arguments);

#endif
