/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of the policy's rules the current process fulfils, by what is known of it: unit, control group,
 * user, program. Filled in by agent/bpf/mptcp-switch.ts.
 */
#ifndef SMAPPD_APP_RULES_H
#define SMAPPD_APP_RULES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "kernel.h"
#include "mptcpify.h"

#define MAX_DEPTH 16 /* of control groups; above that units are not looked for */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mptcpify_rules);
} rules SEC(".maps");

/* Which rules each of these fulfils. */
#define RULES_BY(map_name, key_type)            \
	struct {                                \
		__uint(type, BPF_MAP_TYPE_HASH);\
		__uint(max_entries, 1024);      \
		__type(key, key_type);          \
		__type(value, __u64);           \
	} map_name SEC(".maps")

RULES_BY(units, struct mptcpify_unit);
RULES_BY(cgroups, __u64);
RULES_BY(users, __u32);
RULES_BY(exes, struct mptcpify_exe);

static __always_inline __u64 rules_for(void *map, const void *key)
{
	__u64 *found = bpf_map_lookup_elem(map, key);

	return found ? *found : 0;
}

/* The process's control group and all above it. */
static __always_inline void look_at_cgroups(struct task_struct *task, __u64 *by_unit, __u64 *by_cgroup)
{
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	int depth;

	for (depth = 0; depth < MAX_DEPTH && cgroup; depth++) {
		struct mptcpify_unit unit = {};
		__u64 id = BPF_CORE_READ(cgroup, kn, id);

		bpf_probe_read_kernel_str(unit.name, sizeof(unit.name), BPF_CORE_READ(cgroup, kn, name));
		*by_unit |= rules_for(&units, &unit);
		*by_cgroup |= rules_for(&cgroups, &id);
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
}

static __always_inline __u64 look_at_exe(struct task_struct *task)
{
	struct file *file = BPF_CORE_READ(task, mm, exe_file);
	struct mptcpify_exe exe = {};

	exe.inode = BPF_CORE_READ(file, f_inode, i_ino);
	bpf_probe_read_kernel_str(exe.name, sizeof(exe.name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return rules_for(&exes, &exe);
}

/* The first rule of the policy that matches, as a set of one; 0 in other namespaces, and where none does. */
static __always_inline __u64 first_rule(__u64 netns)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 zero = 0, uid = bpf_get_current_uid_gid();
	__u64 by_unit = 0, by_cgroup = 0, matching;
	struct mptcpify_rules *rule = bpf_map_lookup_elem(&rules, &zero);

	if (!rule || !rule->mptcp || BPF_CORE_READ(task, nsproxy, net_ns, net_cookie) != netns)
		return 0;
	matching = rule->all;
	if (rule->user)
		matching &= ~rule->user | rules_for(&users, &uid);
	if (rule->unit | rule->cgroup)
		look_at_cgroups(task, &by_unit, &by_cgroup);
	matching &= ~rule->unit | by_unit;
	matching &= ~rule->cgroup | by_cgroup;
	if (matching & rule->exe)
		matching &= ~rule->exe | look_at_exe(task);
	/* The lowest bit. */
	return matching & -matching;
}

/* Those that the program is about. */
static __always_inline __u64 marked_rules(void)
{
	__u32 zero = 0;
	struct mptcpify_rules *rule = bpf_map_lookup_elem(&rules, &zero);

	return rule ? rule->mptcp : 0;
}

#endif
