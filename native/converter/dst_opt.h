/* SPDX-License-Identifier: MIT */
/*
 * DST_OPT (HotMiddlebox'13, section 2.1): the server's address in a TCP option of the SYN to a converter.
 * An experimental option (RFC 6994): kind 253, length, our identifier, port, address, all in network order.
 * Linux's own options and MP_CAPABLE leave 16 octets of a SYN's 40. An IPv4 address needs 10 of them; 22 for
 * one of IPv6 do not fit. So only its upper half is here (14), and the lower half is the SYN's destination's: the
 * converter has a /64 to itself. Shared by the eBPF program that writes it and the data path that reads it.
 */
#ifndef SMAPP_DST_OPT_H
#define SMAPP_DST_OPT_H

#define DST_OPT_KIND 253
#define DST_OPT_ID 0x4d42
#define DST_OPT_V4 10
#define DST_OPT_V6 14

#endif
