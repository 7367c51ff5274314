// SPDX-License-Identifier: MIT
#include "kernel.h"

#include "../kmod/smapp_convert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICE "/dev/smapp_convert"

static int device = -1;

static void die(const char *what, const char *remedy)
{
	fprintf(stderr, "smapp-convert: %s: %s%s\n", what, strerror(errno), remedy);
	exit(1);
}

void kernel_open(const struct options *options)
{
	struct smapp_limits limits = {
		.size = sizeof(limits), .connections = options->max_connections,
		/* All that they could hold back, but never more than an eighth of the machine. */
		.memory = (__u64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 8,
	};
	__u64 whole = 2ull * options->max_connections * options->batch;

	if (whole < limits.memory)
		limits.memory = whole;
	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(DEVICE, errno == ENOENT ? " (smappctl converter kernel install)" : "");
	if (ioctl(device, SMAPP_IOC_LIMITS, &limits))
		die(DEVICE, " (the module is of another version: smappctl converter kernel install)");
}

bool kernel_listens(const struct options *options, const struct door *door)
{
	const struct access *access = &options->access;

	return options->kernel && door->mode != MODE_EXPLICIT && !access->sources.count && !access->deny.count &&
	       !access->per_source;
}

void kernel_listen(const struct options *options, const struct door *door, int fd)
{
	struct smapp_listen listener = {
		.size = sizeof(listener), .fd = fd, .mark = options->mark, .connect_ms = options->connect_ms,
		.idle_ms = options->idle_ms, .half_ms = options->half_ms, .socket_buffer = options->socket_buffer,
		.syn_table = options->syn_table, .syn_rate = options->syn_rate,
	};

	if (door->mode == MODE_FORWARD) {
		memcpy(listener.destination.ip, &door->destination.ip, sizeof(listener.destination.ip));
		listener.destination.port = htons(door->destination.port);
	}
	if (options->spoof)
		listener.flags |= SMAPP_SPOOF;
	if (options->server_mptcp)
		listener.flags |= SMAPP_SERVER_MPTCP;
	if (options->syn_open != SYN_OPEN_OFF)
		listener.flags |= SMAPP_SYN_OPEN;
	if (options->syn_open == SYN_OPEN_HOLD)
		listener.flags |= SMAPP_SYN_HOLD;
	if (ioctl(device, SMAPP_IOC_LISTEN, &listener))
		die("giving a listener to " DEVICE, "");
}

bool kernel_adopt(const struct options *options, int client, int server)
{
	struct smapp_pair pair = {
		.size = sizeof(pair), .client = client, .server = server, .connect_ms = options->connect_ms,
		.idle_ms = options->idle_ms, .half_ms = options->half_ms,
	};

	/* Connections of a source are counted as long as we have them. */
	return device >= 0 && !options->access.per_source && !ioctl(device, SMAPP_IOC_PAIR, &pair);
}

void kernel_drain(void)
{
	if (device >= 0)
		ioctl(device, SMAPP_IOC_DRAIN);
}

void kernel_add_stats(struct stats *total)
{
	struct smapp_stats kernel = { .size = sizeof(kernel) };

	if (device < 0 || ioctl(device, SMAPP_IOC_STATS, &kernel))
		return;
#define ADD(name) total->name += kernel.name
	ADD(accepted);
	ADD(accepted_mptcp);
	ADD(active);
	ADD(finished);
	ADD(client_aborted);
	ADD(server_aborted);
	ADD(refused);
	ADD(unreachable);
	ADD(connect_timeout);
	ADD(idle_timeout);
	ADD(half_close_timeout);
	ADD(denied_destination);
	ADD(too_many);
	ADD(bytes_up);
	ADD(bytes_down);
	ADD(opened);
	ADD(open_us);
	ADD(syn_seen);
	ADD(syn_opened);
	ADD(syn_used);
	ADD(syn_expired);
	ADD(syn_refused);
	ADD(syn_over_rate);
	ADD(syn_over_table);
	ADD(syn_held);
#undef ADD
}

void kernel_print_connections(FILE *out)
{
	int copy = device < 0 ? -1 : dup(device);
	FILE *in = copy < 0 ? NULL : fdopen(copy, "r");
	char line[256], state[16], client[ADDRESS_TEXT], server[ADDRESS_TEXT], protocol[8];
	unsigned long long age, idle, open_us, up, down, held;
	int syn_timed;

	if (!in)
		return;
	rewind(in);
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%15s %53s %53s %llu %llu %llu %llu %llu %llu %7s %d", state, client, server, &age, &idle,
			   &open_us, &up, &down, &held, protocol, &syn_timed) != 11)
			continue;
		fprintf(out, "{\"client\":\"%s\",\"server\":\"%s\",\"state\":\"%s\",\"age_ms\":%llu,\"idle_ms\":%llu"
			",\"open_us\":%llu,\"syn_timed\":%s,\"bytes_up\":%llu,\"bytes_down\":%llu,\"held\":%llu"
			",\"protocol\":\"%s\"}\n",
			client, server, state, age, idle, open_us, syn_timed ? "true" : "false", up, down, held, protocol);
	}
	fclose(in);
}
