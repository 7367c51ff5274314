/* SPDX-License-Identifier: MIT */
/* Packet sockets that see SYNs before the TCP stack does, and raw sockets that send packets of our making. */
#ifndef SMAPP_SYN_SOCKET_H
#define SMAPP_SYN_SOCKET_H

#include "options.h"

/* Sees SYNs of the family (AF_INET, AF_INET6) to the doors' ports, from the IP header on. Or -1 and errno. */
int syn_socket(const struct options *options, int family);
/* Sends whole IP packets, marked with @mark. Or -1 and errno. */
int raw_socket(int family, unsigned int mark);
bool raw_send(int fd, const struct address *to, const void *packet, size_t length);
/* How many SYNs the socket had no room for since last asked. */
unsigned int syn_socket_lost(int fd);

#endif
