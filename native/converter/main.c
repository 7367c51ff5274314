// SPDX-License-Identifier: MIT
/*
 * smapp-convert: the converter's data path. Threads: one for control (this one), one loop a core, and
 * one for SYNs when asked for. smappd starts it; it runs alone just as well.
 */
#include "control.h"
#include "kernel.h"
#include "syn_open.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define OWN_FILES 512 /* listeners, epoll, control and the like */

/*
 * Two descriptors a connection, one a SYN. Where the hard limit is lower we take fewer connections: a
 * client that is turned away knows at once, one that cannot be accepted waits.
 */
static void raise_file_limit(struct options *options)
{
	rlim_t own = OWN_FILES + (options->syn_open ? options->syn_table : 0);
	rlim_t want = 2 * (rlim_t)options->max_connections + own;
	struct rlimit limit = { want, want };

	if (!setrlimit(RLIMIT_NOFILE, &limit) || getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= want)
		return;
	options->max_connections = limit.rlim_cur > own + 2 ? (limit.rlim_cur - own) / 2 : 1;
	fprintf(stderr, "smapp-convert: at most %u connections at a time, by RLIMIT_NOFILE (CAP_SYS_RESOURCE could raise it)\n",
		options->max_connections);
}

int main(int argc, char **argv)
{
	static struct options options;
	static struct inheritance inherited;
	struct loop *loops;
	sigset_t signals;

	options_parse(&options, argc, argv);
	raise_file_limit(&options);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	if (options.kernel)
		kernel_open(&options);
	loops = calloc(options.threads, sizeof(*loops));
	if (!loops)
		abort();
	for (unsigned int i = 0; i < options.threads; i++)
		loops[i].options = &options;
	if (options.takeover)
		control_inherit(&options, &inherited);
	listeners_open(loops, options.threads, &inherited);
	syn_open_start(&options);
	for (unsigned int i = 0; i < options.threads; i++)
		loop_start(&loops[i]);
	if (options.takeover)
		control_relieve(&options);
	puts("{\"ready\":true}");
	fflush(stdout);
	control_serve(&options, loops);
	return 0;
}
