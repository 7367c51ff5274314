/*
 * Plugin for Debian's mptcpd: opens the subflows that LAB_SUBFLOWS lists ("ADDRESS/ID" or "ADDRESS/ID/backup",
 * separated by blanks) when a connection of this host is established. mptcpd's own plugins open none.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* These need stdbool.h before them. */
#include <mptcpd/path_manager.h>
#include <mptcpd/plugin.h>

static void established(mptcpd_token_t token, struct sockaddr const *local, struct sockaddr const *remote,
			bool server_side, struct mptcpd_pm *pm)
{
	char list[1024], *rest = NULL;

	(void)local;
	if (server_side)
		return;
	snprintf(list, sizeof(list), "%s", getenv("LAB_SUBFLOWS"));
	for (char *one = strtok_r(list, " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
		struct sockaddr_in from = { .sin_family = AF_INET };
		char address[INET_ADDRSTRLEN], flag[8] = "";
		int id;

		if (sscanf(one, "%15[^/]/%d/%7s", address, &id, flag) < 2 || inet_pton(AF_INET, address, &from.sin_addr) != 1)
			continue;
		mptcpd_pm_add_subflow(pm, token, id, 0, (struct sockaddr *)&from, remote, flag[0] != '\0');
	}
}

static int start(struct mptcpd_pm *pm)
{
	static struct mptcpd_plugin_ops const handlers = { .connection_established = established };

	(void)pm;
	if (!mptcpd_plugin_register_ops("lab", &handlers))
		return -1;
	fprintf(stderr, "lab: ready\n");
	return 0;
}

static void stop(struct mptcpd_pm *pm)
{
	(void)pm;
}

MPTCPD_PLUGIN_DEFINE(lab, "opens the lab's subflows", MPTCPD_PLUGIN_PRIORITY_DEFAULT, start, stop)
