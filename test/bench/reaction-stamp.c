// SPDX-License-Identifier: GPL-2.0-only
/*
 * reaction-stamp OBJECT INTERFACE...   stamps SYNs that leave by these interfaces of the namespace that it runs
 * in, until its input ends; then prints "SUBTYPE NANOSECONDS PORT TOKEN" for each, oldest first.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>
#include "reaction-stamp.h"

static int attach(int program, const char *interface)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(interface), .attach_point = BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program);

	bpf_tc_hook_create(&hook); /* may be there */
	return bpf_tc_attach(&hook, &options);
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	int program, stamps, counter;
	__u32 zero = 0, used = 0;
	char ignored[64];

	if (argc < 3)
		return 2;
	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "cannot load %s\n", argv[1]);
		return 1;
	}
	program = bpf_program__fd(bpf_object__find_program_by_name(object, "stamp_syns"));
	stamps = bpf_object__find_map_fd_by_name(object, "stamps");
	counter = bpf_object__find_map_fd_by_name(object, ".bss.used");
	for (int i = 2; i < argc; i++) {
		if (attach(program, argv[i])) {
			perror(argv[i]);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
		;

	bpf_map_lookup_elem(counter, &zero, &used);
	if (used > STAMPS) {
		fprintf(stderr, "%u SYNs, room for %d\n", used, STAMPS);
		return 1;
	}
	for (__u32 i = 0; i < used; i++) {
		struct stamp stamp;

		bpf_map_lookup_elem(stamps, &i, &stamp);
		printf("%u %llu %u %u\n", stamp.subtype, stamp.at, stamp.port, stamp.token);
	}
	return 0;
}
