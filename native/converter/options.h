/* SPDX-License-Identifier: MIT */
/* What the command line asks for. Read once, before the threads start, and never changed. */
#ifndef SMAPP_OPTIONS_H
#define SMAPP_OPTIONS_H

#include "access.h"

enum mode {
	MODE_TRANSPARENT, /* the destination is the address that the client connected to (TPROXY) */
	MODE_EXPLICIT,	  /* the client names it: RFC 8803, or DST_OPT in its SYN */
	MODE_FORWARD,	  /* one fixed destination */
};

enum syn_open {
	SYN_OPEN_OFF,
	SYN_OPEN_PARALLEL, /* the server's side opens while the client's handshake goes on */
	SYN_OPEN_HOLD,	   /* and the client's SYN waits until the server has answered */
};

struct door {
	enum mode mode;
	struct address address;
	struct address destination; /* MODE_FORWARD */
};

#define DOORS 128
#define SYN_INTERFACES 64

struct options {
	struct door doors[DOORS];
	unsigned int door_count;
	unsigned int threads;
	struct access access;
	const char *control;	/* path of the control socket, or NULL */
	bool takeover;		/* take the listeners of the process behind that socket, which then drains */
	bool kernel;		/* the kernel module moves the bytes (kernel.h) */
	bool server_mptcp;	/* MPTCP on the server's side too */
	bool spoof;		/* servers see the client's own address (needs their answers routed back through us) */
	unsigned int mark;	/* SO_MARK of the connections to servers */
	unsigned int batch;	/* bytes moved at a time, and the most held back in each direction */
	unsigned int socket_buffer; /* SO_RCVBUF and SO_SNDBUF of both sockets; 0: the kernel's tuning */
	unsigned int max_connections;
	unsigned int request_ms; /* how long a client may take to name its destination */
	unsigned int connect_ms;
	unsigned int idle_ms;
	unsigned int half_ms;	/* idle, and one side has ended */
	unsigned int drain_ms;	/* how long a drained process lives */

	enum syn_open syn_open;
	unsigned int syn_table;	 /* connections opened at SYN time and not accepted yet */
	unsigned int syn_rate;	 /* a second and source */
	const char *syn_interfaces[SYN_INTERFACES]; /* where transparent doors get SYNs from; none: everywhere */
	unsigned int syn_interface_count;
	unsigned int syn_mark;	 /* SO_MARK of SYNs given back to the stack (SYN_OPEN_HOLD) */
	bool dst_opt;		 /* read DST_OPT in SYNs to explicit doors */
	const uint8_t *cookie_key; /* COOKIE_KEY bytes: RFC 8803 clients must show a cookie; NULL: they need none */
};

/* Exits with status 2 and a message when the command line is wrong, and with 0 after --help. */
void options_parse(struct options *options, int argc, char **argv);

#endif
