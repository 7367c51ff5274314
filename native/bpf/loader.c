// SPDX-License-Identifier: MIT
/*
 * libbpf for Node: loads an object and attaches its programs. Knows no particular program; bpf.d.ts
 * documents what each function does.
 *
 * Everything attached is a bpf_link held by a file descriptor of this process and pinned nowhere, so
 * the kernel detaches it when the process ends.
 */
#define _GNU_SOURCE
#include "loader.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CGROUP2_CREATE 6 /* FSCONFIG_CMD_CREATE */

static napi_value object_attach(napi_env env, napi_callback_info info)
{
	struct call call;
	struct bpf_program *program;
	struct bpf_link *link;
	napi_valuetype type = napi_undefined;
	int cgroup;

	if (!begin(env, info, &call) || !(program = program_argument(env, &call)))
		return NULL;
	if (call.object->link_count == MAX_LINKS)
		return fail(env, "too many programs attached", ENOSPC);
	if (call.count > 1)
		napi_typeof(env, call.arguments[1], &type);
	if (type == napi_number) {
		napi_get_value_int32(env, call.arguments[1], &cgroup);
		link = bpf_program__attach_cgroup(program, cgroup);
	} else {
		link = bpf_program__attach(program);
	}
	if (!link)
		return fail(env, bpf_program__name(program), errno);
	call.object->links[call.object->link_count++] = link;
	return NULL;
}

static napi_value object_iterate(napi_env env, napi_callback_info info)
{
	struct call call;
	struct bpf_program *program;
	struct bpf_link *link;
	char ignored[4096];
	ssize_t length = 0;
	int fd, error;

	if (!begin(env, info, &call) || !(program = program_argument(env, &call)))
		return NULL;
	link = bpf_program__attach_iter(program, NULL);
	if (!link)
		return fail(env, bpf_program__name(program), errno);
	fd = bpf_iter_create(bpf_link__fd(link));
	error = errno;
	if (fd >= 0) {
		do
			length = read(fd, ignored, sizeof(ignored));
		while (length > 0 || (length < 0 && (errno == EINTR || errno == EAGAIN)));
		error = errno;
		close(fd);
	}
	bpf_link__destroy(link);
	if (fd < 0 || length < 0)
		return fail(env, bpf_program__name(program), error);
	return NULL;
}

static void release(struct object *object)
{
	while (object->link_count)
		bpf_link__destroy(object->links[--object->link_count]);
	unwatch(object);
	bpf_object__close(object->bpf);
	object->bpf = NULL;
}

static napi_value object_close(napi_env env, napi_callback_info info)
{
	struct call call;

	if (begin(env, info, &call))
		release(call.object);
	return NULL;
}

/* Only a closed object, or one that is not watched, can be collected. */
static void finalize(napi_env env, void *data, void *hint)
{
	struct object *object = data;

	(void)hint;
	if (object->bpf)
		release(object);
	napi_delete_reference(env, object->self);
	free(object);
}

/* Has only the programs that are named loaded. */
static int select_programs(napi_env env, struct bpf_object *bpf, napi_value names)
{
	struct bpf_program *program;
	char name[NAME_SIZE];
	napi_value element;
	uint32_t i, count = 0;

	bpf_object__for_each_program(program, bpf)
		bpf_program__set_autoload(program, false);
	napi_get_array_length(env, names, &count);
	for (i = 0; i < count; i++) {
		napi_get_element(env, names, i, &element);
		program = bpf_object__find_program_by_name(bpf, text_argument(env, element, name, sizeof(name)));
		if (!program)
			return ENOENT;
		bpf_program__set_autoload(program, true);
	}
	return 0;
}

static int apply_settings(napi_env env, struct bpf_object *bpf, napi_value value)
{
	struct bpf_map *map = bpf_object__find_map_by_name(bpf, ".rodata.settings");
	void *data;
	size_t size;

	if (!map || napi_get_buffer_info(env, value, &data, &size) != napi_ok)
		return EINVAL;
	return -bpf_map__set_initial_value(map, data, size);
}

static napi_value load(napi_env env, napi_callback_info info)
{
	static const napi_property_descriptor methods[] = {
		{ "attach", NULL, object_attach, NULL, NULL, NULL, napi_default, NULL },
		{ "iterate", NULL, object_iterate, NULL, NULL, NULL, napi_default, NULL },
		{ "lookup", NULL, object_lookup, NULL, NULL, NULL, napi_default, NULL },
		{ "update", NULL, object_update, NULL, NULL, NULL, napi_default, NULL },
		{ "remove", NULL, object_remove, NULL, NULL, NULL, napi_default, NULL },
		{ "watch", NULL, object_watch, NULL, NULL, NULL, napi_default, NULL },
		{ "close", NULL, object_close, NULL, NULL, NULL, napi_default, NULL },
	};
	char file[4096];
	napi_value arguments[3], result;
	size_t count = 3;
	struct object *object;
	struct bpf_object *bpf;
	int error;

	forget_log();
	napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
	text_argument(env, arguments[0], file, sizeof(file));
	bpf = bpf_object__open(file);
	if (!bpf)
		return fail(env, file, errno);
	error = select_programs(env, bpf, arguments[1]);
	if (!error && count > 2)
		error = apply_settings(env, bpf, arguments[2]);
	if (!error)
		error = -bpf_object__load(bpf);
	if (error) {
		bpf_object__close(bpf);
		return fail(env, file, error);
	}
	object = calloc(1, sizeof(*object));
	object->env = env;
	object->bpf = bpf;
	napi_create_object(env, &result);
	napi_define_properties(env, result, sizeof(methods) / sizeof(methods[0]), methods);
	napi_wrap(env, result, object, finalize, NULL, &object->self);
	return result;
}

static napi_value netns_cookie(napi_env env, napi_callback_info info)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	int error = 0, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	napi_value result;

	(void)info;
	forget_log();
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error)
		return fail(env, "SO_NETNS_COOKIE", error);
	napi_create_bigint_uint64(env, cookie, &result);
	return result;
}

static napi_value tick_microseconds(napi_env env, napi_callback_info info)
{
	struct timespec tick;
	napi_value result;

	(void)info;
	/* The coarse clock advances once a tick, and says so. */
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	napi_create_uint32(env, (uint32_t)((tick.tv_nsec + 500) / 1000), &result);
	return result;
}

static napi_value mount_cgroup2(napi_env env, napi_callback_info info)
{
	int mount = -1, error, fd = (int)syscall(SYS_fsopen, "cgroup2", 1 /* FSOPEN_CLOEXEC */);
	napi_value result;

	(void)info;
	forget_log();
	if (fd >= 0 && !syscall(SYS_fsconfig, fd, CGROUP2_CREATE, NULL, NULL, 0))
		mount = (int)syscall(SYS_fsmount, fd, 1 /* FSMOUNT_CLOEXEC */, 0);
	error = errno;
	if (fd >= 0)
		close(fd);
	if (mount < 0)
		return fail(env, "mounting cgroup2", error);
	napi_create_int32(env, mount, &result);
	return result;
}

NAPI_MODULE_INIT()
{
	static const napi_property_descriptor functions[] = {
		{ "load", NULL, load, NULL, NULL, NULL, napi_default, NULL },
		{ "netnsCookie", NULL, netns_cookie, NULL, NULL, NULL, napi_default, NULL },
		{ "tickMicroseconds", NULL, tick_microseconds, NULL, NULL, NULL, napi_default, NULL },
		{ "mountCgroup2", NULL, mount_cgroup2, NULL, NULL, NULL, napi_default, NULL },
	};

	libbpf_set_print(keep_log);
	napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
	return exports;
}
