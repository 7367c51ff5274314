/* SPDX-License-Identifier: MIT */
/*
 * DST_OPT (HotMiddlebox'13, section 2.1): the server's address in a TCP option of the SYN to a converter.
 * An experimental option (RFC 6994): kind 253, length, our identifier, port, address of 4 or 16 octets,
 * all in network order. 10 octets for IPv4 fit beside Linux's own options and MP_CAPABLE; 22 for IPv6
 * do without timestamps. Shared by the eBPF program that writes it and the data path that reads it.
 */
#ifndef SMAPP_DST_OPT_H
#define SMAPP_DST_OPT_H

#define DST_OPT_KIND 253
#define DST_OPT_ID 0x4d42
#define DST_OPT_V4 10
#define DST_OPT_V6 22

#endif
