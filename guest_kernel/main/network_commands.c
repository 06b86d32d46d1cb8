/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that use the network card.
 *
 * Read next: share_commands.c.
 */
#include "guest_kernel/base/print.h"
#include "guest_kernel/drivers/net.h"
#include "guest_kernel/main/arguments.h"
#include "guest_kernel/main/device_commands.h"
#include "guest_kernel/network/network.h"
#include "switcher/layouts/types.h"

#define PINGS 3

void ip_command(char *arguments)
{
	u32 address;
	const char *word = argument_word(&arguments);
	if (*word && !network_parse(word, &address))
		print("ip: an address is needed, such as 10.0.0.2, not \"%s\"\n", word);
	else if (*word && !network_start(address))
		print("ip: no network card\n");
	else if (!network_address())
		print("ip: no address yet\n");
	else
		print("address " ADDRESS_FORMAT ", MAC %02x:%02x:%02x:%02x:%02x:%02x\n", ADDRESS_PARTS(network_address()),
		      net_mac()[0], net_mac()[1], net_mac()[2], net_mac()[3], net_mac()[4], net_mac()[5]);
}

void ping_command(char *arguments)
{
	u32 address, count;
	const char *word = argument_word(&arguments);
	if (!network_parse(word, &address))
		print("ping: an address is needed, such as 10.0.0.1, not \"%s\"\n", word);
	else if (!network_address())
		print("ping: no address of our own yet; try: ip 10.0.0.2\n");
	else if (argument_optional(&arguments, "ping", &count, PINGS))
		network_ping(address, count);
}
