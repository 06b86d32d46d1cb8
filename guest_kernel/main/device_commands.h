/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that use devices. */
#ifndef DEVICE_COMMANDS_H
#define DEVICE_COMMANDS_H

/* device_commands.c */
void devices_command(char *arguments);
void random_command(char *arguments);
void tell_command(char *arguments);
void hear_command(char *arguments);
void size_command(char *arguments);

/* disk_commands.c */
void disk_command(char *arguments);
void read_command(char *arguments);
void write_command(char *arguments);
void sum_command(char *arguments);
void copy_command(char *arguments);
void zero_command(char *arguments);
void discard_command(char *arguments);
void flush_command(char *arguments);

/* network_commands.c */
void ip_command(char *arguments);
void ping_command(char *arguments);

/* share_commands.c */
void share_command(char *arguments);
void ls_command(char *arguments);
void cat_command(char *arguments);
void crc_command(char *arguments);
void put_command(char *arguments);

#endif
