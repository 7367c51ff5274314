// SPDX-License-Identifier: MIT
/*
 * The part of systemd that smappd's restart relies on, for machines where systemd is not init: starts a
 * command with NOTIFY_SOCKET and a watchdog, keeps the file descriptors that it sends (FDSTORE=1), and
 * starts it again with them (LISTEN_FDS, LISTEN_FDNAMES) whenever it ends, until standard input is closed.
 * What happens is told on standard output, a line each:
 *	started PID | notify TEXT | kept NAME | forgot NAME | exited CODE | killed SIGNAL
 * Usage: supervisor SOCKET WATCHDOG_USEC COMMAND [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FDS 32
#define FIRST_FD 3

static struct { int fd; char name[64]; } store[MAX_FDS];
static int stored;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static pid_t start(char **argv, const char *socket, const char *watchdog)
{
	char text[16], names[MAX_FDS * 64] = "";
	pid_t pid = fork();
	sigset_t none;

	if (pid)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv("NOTIFY_SOCKET", socket, 1);
	snprintf(text, sizeof(text), "%d", getpid());
	if (strcmp(watchdog, "0")) {
		setenv("WATCHDOG_USEC", watchdog, 1);
		setenv("WATCHDOG_PID", text, 1);
	}
	if (stored) {
		setenv("LISTEN_PID", text, 1);
		snprintf(text, sizeof(text), "%d", stored);
		setenv("LISTEN_FDS", text, 1);
	}
	/* Out of the way of the numbers that they are to have, then down to them. */
	for (int i = 0; i < stored; i++) {
		store[i].fd = fcntl(store[i].fd, F_DUPFD, 64);
		strcat(strcat(names, i ? ":" : ""), store[i].name);
	}
	for (int i = 0; i < stored; i++)
		dup2(store[i].fd, FIRST_FD + i);
	if (close_range(FIRST_FD + stored, ~0U, 0))
		die("close_range");
	if (stored)
		setenv("LISTEN_FDNAMES", names, 1);
	execvp(argv[0], argv);
	die(argv[0]);
	return -1;
}

static void keep(const char *name, int fd)
{
	struct stat was, is;

	for (int i = 0; i < stored; i++) { /* systemd also keeps one of a kind */
		if (!fstat(fd, &is) && !fstat(store[i].fd, &was) && is.st_ino == was.st_ino && is.st_dev == was.st_dev) {
			close(fd);
			return;
		}
	}
	if (stored == MAX_FDS) {
		close(fd);
		return;
	}
	store[stored].fd = fd;
	snprintf(store[stored].name, sizeof(store[0].name), "%s", name);
	stored++;
	printf("kept %s\n", name);
}

static void forget(const char *name)
{
	for (int i = 0; i < stored; i++) {
		if (strcmp(store[i].name, name))
			continue;
		close(store[i].fd);
		store[i--] = store[--stored];
		printf("forgot %s\n", name);
	}
}

static void hear(int sock)
{
	char text[4096], control[CMSG_SPACE(sizeof(int) * MAX_FDS)], name[64] = "stored";
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	char *at;

	if (len < 0)
		return;
	text[len] = '\0';
	at = strstr(text, "FDNAME=");
	if (at)
		sscanf(at, "FDNAME=%63[^\n]", name);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), fds[MAX_FDS];

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(c), count * sizeof(int));
		for (int i = 0; i < count; i++)
			keep(name, fds[i]);
	}
	if (strstr(text, "FDSTOREREMOVE=1"))
		forget(name);
	for (at = text; *at; at++)
		if (*at == '\n')
			*at = ' ';
	printf("notify %s\n", text);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), signals, stopping = 0;
	sigset_t chld;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: %s SOCKET WATCHDOG_USEC COMMAND [ARGUMENT...]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)))
		die("bind");
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	signals = signalfd(-1, &chld, SFD_CLOEXEC);
	pid = start(argv + 3, argv[1], argv[2]);
	printf("started %d\n", pid);
	for (;;) {
		struct pollfd fds[] = { { sock, POLLIN, 0 }, { signals, POLLIN, 0 }, { stopping ? -1 : 0, POLLIN, 0 } };
		struct signalfd_siginfo info;
		char byte;
		int status;

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[0].revents)
			hear(sock);
		if (fds[2].revents && read(0, &byte, 1) <= 0) {
			stopping = 1;
			kill(pid, SIGTERM);
		}
		if (!(fds[1].revents && read(signals, &info, sizeof(info)) == sizeof(info)))
			continue;
		if (waitpid(pid, &status, WNOHANG) != pid)
			continue;
		while (recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) /* what it said last counts */
			hear(sock);
		if (WIFSIGNALED(status))
			printf("killed %d\n", WTERMSIG(status));
		else
			printf("exited %d\n", WEXITSTATUS(status));
		if (stopping)
			break;
		pid = start(argv + 3, argv[1], argv[2]);
		printf("started %d\n", pid);
	}
	unlink(argv[1]);
	return 0;
}
