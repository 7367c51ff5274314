/*
 * Plugin for Debian's mptcpd: opens one more subflow, from the address in REACTION_LOCAL (id 2), as soon as a
 * connection of this host is established. mptcpd's own plugins open none.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* These need stdbool.h before them. */
#include <mptcpd/path_manager.h>
#include <mptcpd/plugin.h>

static struct sockaddr_in from = { .sin_family = AF_INET };

static void established(mptcpd_token_t token, struct sockaddr const *local, struct sockaddr const *remote,
			bool server_side, struct mptcpd_pm *pm)
{
	(void)local;
	if (!server_side)
		mptcpd_pm_add_subflow(pm, token, 2, 0, (struct sockaddr *)&from, remote, false);
}

static int start(struct mptcpd_pm *pm)
{
	static struct mptcpd_plugin_ops const handlers = { .connection_established = established };
	const char *address = getenv("REACTION_LOCAL");

	(void)pm;
	if (!address || inet_pton(AF_INET, address, &from.sin_addr) != 1)
		return -1;
	return mptcpd_plugin_register_ops("reaction", &handlers) ? 0 : -1;
}

static void stop(struct mptcpd_pm *pm)
{
	(void)pm;
}

MPTCPD_PLUGIN_DEFINE(reaction, "opens the second subflow", MPTCPD_PLUGIN_PRIORITY_DEFAULT, start, stop)
