// SPDX-License-Identifier: MIT
#include "options.h"

#include "cookie.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
"Usage: smapp-convert --listen MODE,ADDRESS:PORT[,DESTINATION:PORT]... [OPTION]...\n"
"Relays connections between MPTCP and TCP.\n"
"\n"
"  --listen transparent,ADDR:PORT     to where the client connected; needs TPROXY rules (smappd makes them)\n"
"  --listen explicit,ADDR:PORT        to where the client says: RFC 8803, or DST_OPT with --dst-opt\n"
"  --listen forward,ADDR:PORT,TO:PORT to one server\n"
"  --threads N            default: one a core\n"
"  --control PATH         unix socket for statistics and for a successor\n"
"  --takeover             take the listeners of the process behind PATH, which then drains\n"
"  --kernel               let the kernel module (smapp_convert) move the bytes\n"
"  --server-mptcp         offer MPTCP to servers\n"
"  --spoof                servers see the client's address (their answers must be routed back to us)\n"
"  --mark N               SO_MARK of the connections to servers\n"
"  --batch BYTES          moved at a time, and held back at most in each direction (16384)\n"
"  --socket-buffer BYTES  SO_SNDBUF and SO_RCVBUF (the kernel's own tuning)\n"
"  --max-connections N    at a time (200000)\n"
"  --per-source N         at a time from one address (no limit)\n"
"  --allow-source PREFIX  who may connect (everybody)\n"
"  --allow PREFIX         a destination allowed whatever else is said\n"
"  --deny PREFIX          a destination refused; named ones that are private or special are refused anyway\n"
"  --cookie-key FILE      16 secret bytes: RFC 8803 clients must show a cookie made from them\n"
"  --request-timeout MS (10000)  --connect-timeout MS (30000)  --idle-timeout MS (7440000)\n"
"  --half-close-timeout MS (300000)  --drain-timeout MS (3600000)\n"
"  --syn-open off|parallel|hold  open the server's side when the client's SYN comes (off)\n"
"  --syn-interface NAME   where SYNs for transparent doors come from (everywhere)\n"
"  --syn-table N (4096)  --syn-rate N a second and source (200)  --syn-mark N (0x534d)\n"
"  --dst-opt              read the destination from DST_OPT in SYNs to explicit doors\n";

enum {
	OPT_LISTEN = 256, OPT_THREADS, OPT_CONTROL, OPT_TAKEOVER, OPT_KERNEL, OPT_SERVER_MPTCP, OPT_SPOOF, OPT_MARK, OPT_BATCH,
	OPT_SOCKET_BUFFER, OPT_MAX_CONNECTIONS, OPT_PER_SOURCE, OPT_ALLOW_SOURCE, OPT_ALLOW, OPT_DENY, OPT_COOKIE_KEY,
	OPT_REQUEST, OPT_CONNECT, OPT_IDLE, OPT_HALF, OPT_DRAIN, OPT_SYN_OPEN, OPT_SYN_TABLE, OPT_SYN_RATE,
	OPT_SYN_MARK, OPT_SYN_INTERFACE, OPT_DST_OPT, OPT_HELP,
};

static const struct option longs[] = {
	{ "listen", required_argument, 0, OPT_LISTEN },
	{ "threads", required_argument, 0, OPT_THREADS },
	{ "control", required_argument, 0, OPT_CONTROL },
	{ "takeover", no_argument, 0, OPT_TAKEOVER },
	{ "kernel", no_argument, 0, OPT_KERNEL },
	{ "server-mptcp", no_argument, 0, OPT_SERVER_MPTCP },
	{ "spoof", no_argument, 0, OPT_SPOOF },
	{ "mark", required_argument, 0, OPT_MARK },
	{ "batch", required_argument, 0, OPT_BATCH },
	{ "socket-buffer", required_argument, 0, OPT_SOCKET_BUFFER },
	{ "max-connections", required_argument, 0, OPT_MAX_CONNECTIONS },
	{ "per-source", required_argument, 0, OPT_PER_SOURCE },
	{ "allow-source", required_argument, 0, OPT_ALLOW_SOURCE },
	{ "allow", required_argument, 0, OPT_ALLOW },
	{ "deny", required_argument, 0, OPT_DENY },
	{ "cookie-key", required_argument, 0, OPT_COOKIE_KEY },
	{ "request-timeout", required_argument, 0, OPT_REQUEST },
	{ "connect-timeout", required_argument, 0, OPT_CONNECT },
	{ "idle-timeout", required_argument, 0, OPT_IDLE },
	{ "half-close-timeout", required_argument, 0, OPT_HALF },
	{ "drain-timeout", required_argument, 0, OPT_DRAIN },
	{ "syn-open", required_argument, 0, OPT_SYN_OPEN },
	{ "syn-table", required_argument, 0, OPT_SYN_TABLE },
	{ "syn-rate", required_argument, 0, OPT_SYN_RATE },
	{ "syn-mark", required_argument, 0, OPT_SYN_MARK },
	{ "syn-interface", required_argument, 0, OPT_SYN_INTERFACE },
	{ "dst-opt", no_argument, 0, OPT_DST_OPT },
	{ "help", no_argument, 0, OPT_HELP },
	{ 0 },
};

static void wrong(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "smapp-convert: --%s %s: must be %s (see --help)\n", option, value, want);
	exit(2);
}

static unsigned int number(const char *option, const char *value, unsigned int least, unsigned int most)
{
	char *end, want[64];
	unsigned long n = strtoul(value, &end, 0);

	if (*end || end == value || n < least || n > most) {
		snprintf(want, sizeof(want), "a number from %u to %u", least, most);
		wrong(option, value, want);
	}
	return n;
}

static void parse_door(struct options *options, const char *text)
{
	static const char want[] = "MODE,ADDRESS:PORT, and for the mode `forward` another ,ADDRESS:PORT";
	char whole[256], *mode, *at, *to;
	struct door *door = &options->doors[options->door_count];

	if (options->door_count == DOORS) {
		fprintf(stderr, "smapp-convert: more than %d --listen\n", DOORS);
		exit(2);
	}
	snprintf(whole, sizeof(whole), "%s", text);
	mode = strtok(whole, ",");
	at = strtok(NULL, ",");
	to = strtok(NULL, ",");
	if (!mode || !at || !address_parse(at, &door->address))
		wrong("listen", text, want);
	if (!strcmp(mode, "transparent") && !to)
		door->mode = MODE_TRANSPARENT;
	else if (!strcmp(mode, "explicit") && !to)
		door->mode = MODE_EXPLICIT;
	else if (!strcmp(mode, "forward") && to && address_parse(to, &door->destination))
		door->mode = MODE_FORWARD;
	else
		wrong("listen", text, want);
	options->door_count++;
}

static enum syn_open parse_syn_open(const char *text)
{
	if (!strcmp(text, "parallel"))
		return SYN_OPEN_PARALLEL;
	if (!strcmp(text, "hold"))
		return SYN_OPEN_HOLD;
	if (strcmp(text, "off"))
		wrong("syn-open", text, "off, parallel or hold");
	return SYN_OPEN_OFF;
}

/* From a file, since the command line is public. */
static const uint8_t *read_key(const char *path)
{
	static uint8_t key[COOKIE_KEY];
	FILE *file = fopen(path, "re");

	if (!file || fread(key, 1, sizeof(key), file) != sizeof(key))
		wrong("cookie-key", path, "a file of at least 16 bytes");
	fclose(file);
	return key;
}

static void prefix(const char *option, struct prefixes *to)
{
	if (!access_add(to, optarg))
		wrong(option, optarg, "an address, or a prefix such as 192.0.2.0/24");
}

void options_parse(struct options *o, int argc, char **argv)
{
	const unsigned int most_ms = 7 * 24 * 3600 * 1000u;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int option, index = 0;

	*o = (struct options){
		.threads = cores > 0 ? cores : 1, .batch = 16 << 10, .max_connections = 200000,
		.request_ms = 10000, .connect_ms = 30000, .idle_ms = 7440000, .half_ms = 300000, .drain_ms = 3600000,
		.syn_table = 4096, .syn_rate = 200, .syn_mark = 0x534d,
	};
	while ((option = getopt_long(argc, argv, "", longs, &index)) != -1) {
		const char *name = longs[index].name;

		switch (option) {
		case OPT_LISTEN: parse_door(o, optarg); break;
		case OPT_THREADS: o->threads = number(name, optarg, 1, 256); break;
		case OPT_CONTROL: o->control = optarg; break;
		case OPT_TAKEOVER: o->takeover = true; break;
		case OPT_KERNEL: o->kernel = true; break;
		case OPT_SERVER_MPTCP: o->server_mptcp = true; break;
		case OPT_SPOOF: o->spoof = true; break;
		case OPT_MARK: o->mark = number(name, optarg, 0, UINT32_MAX); break;
		case OPT_BATCH: o->batch = number(name, optarg, 4096, 16 << 20); break;
		case OPT_SOCKET_BUFFER: o->socket_buffer = number(name, optarg, 4096, 1 << 30); break;
		case OPT_MAX_CONNECTIONS: o->max_connections = number(name, optarg, 1, 10000000); break;
		case OPT_PER_SOURCE: o->access.per_source = number(name, optarg, 0, 10000000); break;
		case OPT_ALLOW_SOURCE: prefix(name, &o->access.sources); break;
		case OPT_ALLOW: prefix(name, &o->access.allow); break;
		case OPT_DENY: prefix(name, &o->access.deny); break;
		case OPT_COOKIE_KEY: o->cookie_key = read_key(optarg); break;
		case OPT_REQUEST: o->request_ms = number(name, optarg, 1, most_ms); break;
		case OPT_CONNECT: o->connect_ms = number(name, optarg, 1, most_ms); break;
		case OPT_IDLE: o->idle_ms = number(name, optarg, 1, most_ms); break;
		case OPT_HALF: o->half_ms = number(name, optarg, 1, most_ms); break;
		case OPT_DRAIN: o->drain_ms = number(name, optarg, 0, most_ms); break;
		case OPT_SYN_OPEN: o->syn_open = parse_syn_open(optarg); break;
		case OPT_SYN_TABLE: o->syn_table = number(name, optarg, 1, 1 << 20); break;
		case OPT_SYN_RATE: o->syn_rate = number(name, optarg, 1, 1000000); break;
		case OPT_SYN_MARK: o->syn_mark = number(name, optarg, 1, UINT32_MAX); break;
		case OPT_SYN_INTERFACE:
			if (o->syn_interface_count == SYN_INTERFACES)
				wrong(name, optarg, "given at most 64 times");
			o->syn_interfaces[o->syn_interface_count++] = optarg;
			break;
		case OPT_DST_OPT: o->dst_opt = true; break;
		case OPT_HELP: fputs(usage, stdout); exit(0);
		default: fprintf(stderr, "smapp-convert: see --help\n"); exit(2);
		}
	}
	if (optind < argc || !o->door_count) {
		fprintf(stderr, "smapp-convert: %s (see --help)\n",
			optind < argc ? "words after the options" : "nothing to --listen on");
		exit(2);
	}
	if (o->takeover && !o->control) {
		fprintf(stderr, "smapp-convert: --takeover needs --control PATH\n");
		exit(2);
	}
	if (o->max_connections < o->threads)
		o->max_connections = o->threads;
}
