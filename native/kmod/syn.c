// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opens the server's side when the client's SYN arrives (MiMBox, section 3). A netfilter hook behind the
 * firewall's rules sees the SYN; an entry in the door's table keeps the server's socket until the client is
 * accepted. With SMAPP_SYN_HOLD the SYN itself waits too, and is received anew when the server has answered,
 * or answered with the server's refusal.
 *
 * An entry is freed by whoever takes it out of the table: accept, the sweeper, the end of the door, or the
 * entry's own work. Bounded by table size, rate a source, and age.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/jhash.h>
#include <linux/netdevice.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <net/icmp.h>
#include <net/ipv6.h>
#include <net/netfilter/ipv4/nf_reject.h>
#include <net/netfilter/ipv6/nf_reject.h>
#include <net/route.h>
#include <net/tcp.h>

#include "convert.h"

#define BUCKETS		256
#define SOURCES		256
#define CLAIM_TIME	(10 * HZ)	/* for the client's ACK */

struct door {
	struct list_head node;
	unsigned int users;
	struct control *control;
	struct net *net;		/* held by the listeners */
	struct smapp_listen config;
	struct patience patience;
	__be16 port;
	struct in6_addr address;	/* any, or the one that the listener is bound to */
	struct nf_hook_ops hooks[2];
	unsigned int hook_count;
	u32 seed;
	struct delayed_work sweep;

	spinlock_t lock;		/* all below; from softirq too */
	struct hlist_head table[BUCKETS];
	unsigned int count;
	struct { unsigned long second; u32 opened; } sources[SOURCES];
};

enum entry_state { ENTRY_NEW, ENTRY_OPENING, ENTRY_OPEN, ENTRY_FAILED };

struct entry {
	struct hlist_node node;
	bool in_table;
	struct work_struct work;
	struct door *door;
	struct sockaddr_in6 peer, local;
	unsigned long born;
	ktime_t begun;
	enum entry_state state;
	int error;
	struct socket *sock;
	wait_queue_entry_t wait;
	struct sk_buff *held;
	int ifindex;
};

static u32 address_hash(const struct door *door, const struct sockaddr_in6 *address, unsigned int words)
{
	return jhash2((const u32 *)&address->sin6_addr, words, door->seed);
}

static struct hlist_head *bucket(struct door *door, const struct sockaddr_in6 *peer)
{
	return &door->table[jhash_1word((__force u32)peer->sin6_port, address_hash(door, peer, 4)) % BUCKETS];
}

static bool same(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	return a->sin6_port == b->sin6_port && ipv6_addr_equal(&a->sin6_addr, &b->sin6_addr);
}

static struct entry *find(struct door *door, const struct sockaddr_in6 *peer, const struct sockaddr_in6 *local)
{
	struct entry *entry;

	hlist_for_each_entry(entry, bucket(door, peer), node)
		if (same(&entry->peer, peer) && same(&entry->local, local))
			return entry;
	return NULL;
}

static void unlink(struct entry *entry)
{
	hlist_del(&entry->node);
	entry->in_table = false;
	entry->door->count--;
	count_dec(entry->door->control, syn_waiting);
}

static void entry_release_socket(struct entry *entry, bool reset)
{
	if (!entry->sock)
		return;
	remove_wait_queue(sk_sleep(entry->sock->sk), &entry->wait);
	if (reset)
		smapp_reset(entry->sock);
	sock_release(entry->sock);
	entry->sock = NULL;
}

/* For one that is out of the table, and not from its own work. */
static void entry_stop(struct entry *entry)
{
	cancel_work_sync(&entry->work);
	if (entry->sock) {
		remove_wait_queue(sk_sleep(entry->sock->sk), &entry->wait);
		cancel_work_sync(&entry->work);
	}
}

static void entry_dispose(struct entry *entry)
{
	entry_stop(entry);
	if (entry->sock) {
		smapp_reset(entry->sock);
		sock_release(entry->sock);
	}
	kfree_skb(entry->held);
	kfree(entry);
}

/*
 * icmp_send() takes the source from a packet for this host, which is not ours when TPROXY brought it here. With
 * the route back to the client in its place it chooses one of ours.
 */
static void unreachable_v4(struct net *net, struct sk_buff *skb, int code)
{
	struct flowi4 flow = { .daddr = ip_hdr(skb)->saddr };
	struct rtable *back = ip_route_output_key(net, &flow);

	if (IS_ERR(back))
		return;
	skb_dst_drop(skb);
	skb_dst_set(skb, &back->dst);
	icmp_send(skb, ICMP_DEST_UNREACH, code, 0);
}

static void answer_v4(struct net *net, struct sk_buff *skb, int error)
{
	if (error == -ECONNREFUSED || error == -ECONNRESET)
		nf_send_reset(net, NULL, skb, NF_INET_LOCAL_IN);
	else if (error == -EHOSTUNREACH)
		unreachable_v4(net, skb, ICMP_HOST_UNREACH);
	else if (error == -ENETUNREACH)
		unreachable_v4(net, skb, ICMP_NET_UNREACH);
}

static void answer_v6(struct net *net, struct sk_buff *skb, int error)
{
	if (error == -ECONNREFUSED || error == -ECONNRESET)
		nf_send_reset6(net, NULL, skb, NF_INET_LOCAL_IN);
	else if (error == -EHOSTUNREACH)
		icmpv6_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH, 0);
	else if (error == -ENETUNREACH)
		icmpv6_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE, 0);
}

/* The held SYN leaves us: to be received anew, or answered for the server. */
static void held_finish(struct entry *entry, int error)
{
	struct sk_buff *skb = entry->held;
	struct net *net = entry->door->net;

	entry->held = NULL;
	local_bh_disable();
	rcu_read_lock();
	skb->dev = dev_get_by_index_rcu(net, entry->ifindex);
	if (!skb->dev)
		goto drop;
	if (!error) {
		/* From the beginning, so that connection tracking and TPROXY see it as any other. */
		skb_scrub_packet(skb, true);
		netif_rx(skb);
		goto unlock;
	}
	if (skb->protocol == htons(ETH_P_IP))
		answer_v4(net, skb, error);
	else
		answer_v6(net, skb, error);
drop:
	kfree_skb(skb);
unlock:
	rcu_read_unlock();
	local_bh_enable();
}

static int entry_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	queue_work(smapp_queue, &container_of(wait, struct entry, wait)->work);
	return 0;
}

static int entry_open(struct entry *entry)
{
	struct door *door = entry->door;
	struct sockaddr_in6 to = entry->local;
	struct socket *sock;
	int error;

	if (door->config.destination.port) {
		memcpy(&to.sin6_addr, door->config.destination.ip, sizeof(to.sin6_addr));
		to.sin6_port = door->config.destination.port;
	}
	error = smapp_server_open(door->net, &door->config, &entry->local, &entry->peer, &to, &sock);
	if (error)
		return error;
	entry->sock = sock;
	init_waitqueue_func_entry(&entry->wait, entry_wake);
	add_wait_queue(sk_sleep(sock->sk), &entry->wait);
	count_inc(door->control, syn_opened);
	return smapp_server_state(sock);
}

static void entry_failed(struct entry *entry, int error)
{
	struct door *door = entry->door;
	bool mine;

	count_inc(door->control, syn_refused);
	entry_release_socket(entry, false);
	entry->error = error;
	entry->state = ENTRY_FAILED;
	if (!entry->held)
		return;		/* the client hears of it when it is accepted */
	held_finish(entry, error);
	spin_lock_bh(&door->lock);
	mine = entry->in_table;
	if (mine)
		unlink(entry);
	spin_unlock_bh(&door->lock);
	if (!mine)
		return;
	cancel_work(&entry->work);
	kfree(entry);
}

static void entry_work(struct work_struct *work)
{
	struct entry *entry = container_of(work, struct entry, work);
	struct door *door = entry->door;
	int error;

	if (entry->state == ENTRY_NEW) {
		entry->state = ENTRY_OPENING;
		error = entry_open(entry);
	} else if (entry->state == ENTRY_OPENING) {
		error = smapp_server_state(entry->sock);
	} else {
		return;
	}
	if (error == -EINPROGRESS)
		return;
	if (error)
		return entry_failed(entry, error);
	spin_lock_bh(&door->lock);
	entry->state = ENTRY_OPEN;
	spin_unlock_bh(&door->lock);
	if (entry->held)
		held_finish(entry, 0);
}

static bool over_rate(struct door *door, const struct sockaddr_in6 *peer)
{
	unsigned int words = smapp_address_is_v4(peer) ? 4 : 2;
	unsigned int slot = address_hash(door, peer, words) % SOURCES;
	unsigned long second = jiffies / HZ;

	/* Sources that share a slot share its rate. */
	if (door->sources[slot].second != second) {
		door->sources[slot].second = second;
		door->sources[slot].opened = 0;
	}
	return door->sources[slot].opened++ >= door->config.syn_rate;
}

/* MP_JOIN: a further subflow of a connection that exists (RFC 8684, section 3.2). */
static bool joins(const struct sk_buff *skb, unsigned int offset, const struct tcphdr *tcp)
{
	int length = tcp->doff * 4 - sizeof(*tcp), at = 0;
	u8 buffer[40];
	const u8 *options;

	if (length <= 0)
		return false;
	options = skb_header_pointer(skb, offset + sizeof(*tcp), length, buffer);
	while (options && at < length && options[at] != TCPOPT_EOL) {
		if (options[at] == TCPOPT_NOP) {
			at++;
			continue;
		}
		if (at + 2 >= length || options[at + 1] < 2)
			return false;
		if (options[at] == TCPOPT_MPTCP && options[at + 2] >> 4 == 1)
			return true;
		at += options[at + 1];
	}
	return false;
}

/* Fills in the ends of a SYN toward this door; false for every other packet. */
static bool is_ours(const struct door *door, const struct sk_buff *skb, struct sockaddr_in6 *peer,
		    struct sockaddr_in6 *local)
{
	unsigned int offset = 0;
	struct tcphdr buffer;
	const struct tcphdr *tcp;

	if (skb->protocol == htons(ETH_P_IP)) {
		if (ip_hdr(skb)->protocol != IPPROTO_TCP || ip_is_fragment(ip_hdr(skb)))
			return false;
		offset = ip_hdrlen(skb);
		ipv6_addr_set_v4mapped(ip_hdr(skb)->saddr, &peer->sin6_addr);
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr, &local->sin6_addr);
	} else {
		if (ipv6_find_hdr(skb, &offset, IPPROTO_TCP, NULL, NULL) != IPPROTO_TCP)
			return false;
		peer->sin6_addr = ipv6_hdr(skb)->saddr;
		local->sin6_addr = ipv6_hdr(skb)->daddr;
	}
	tcp = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!tcp || !tcp->syn || tcp->ack || tcp->rst || tcp->dest != door->port || joins(skb, offset, tcp))
		return false;
	peer->sin6_family = local->sin6_family = AF_INET6;
	peer->sin6_port = tcp->source;
	local->sin6_port = tcp->dest;
	return ipv6_addr_any(&door->address) || ipv6_addr_equal(&door->address, &local->sin6_addr);
}

/* Under door->lock. NULL when the client has to wait until it is accepted. */
static struct entry *entry_new(struct door *door, const struct sockaddr_in6 *peer, const struct sockaddr_in6 *local)
{
	struct control *control = door->control;
	struct entry *entry;

	if (door->count >= door->config.syn_table) {
		count_inc(control, syn_over_table);
		return NULL;
	}
	if (over_rate(door, peer)) {
		count_inc(control, syn_over_rate);
		return NULL;
	}
	entry = kzalloc(sizeof(*entry), GFP_ATOMIC | __GFP_NOWARN);
	if (!entry)
		return NULL;
	INIT_WORK(&entry->work, entry_work);
	entry->door = door;
	entry->peer = *peer;
	entry->local = *local;
	entry->born = jiffies;
	entry->begun = ktime_get();
	hlist_add_head(&entry->node, bucket(door, peer));
	entry->in_table = true;
	if (!door->count++)
		queue_delayed_work(smapp_queue, &door->sweep, HZ);
	count_inc(control, syn_waiting);
	return entry;
}

static void hold(struct entry *entry, struct sk_buff *skb, const struct nf_hook_state *state)
{
	skb_orphan(skb);
	nf_reset_ct(skb);
	entry->ifindex = state->in->ifindex;
	skb->dev = NULL;
	entry->held = skb;
	count_inc(entry->door->control, syn_held);
}

/* A packet for this host has passed the filter. */
static unsigned int door_hook(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct door *door = priv;
	bool holding = door->config.flags & SMAPP_SYN_HOLD;
	struct sockaddr_in6 peer = {}, local = {};
	unsigned int verdict = NF_ACCEPT;
	struct entry *entry;

	if (!is_ours(door, skb, &peer, &local))
		return NF_ACCEPT;
	spin_lock_bh(&door->lock);
	entry = find(door, &peer, &local);
	if (entry) {
		/* Again: ours given back, or the client's impatience. */
		if (holding && entry->state != ENTRY_OPEN)
			verdict = NF_DROP;
	} else {
		count_inc(door->control, syn_seen);
		entry = entry_new(door, &peer, &local);
		if (entry && holding && skb_dst_force(skb)) {
			hold(entry, skb, state);
			verdict = NF_STOLEN;
		}
		if (entry)
			queue_work(smapp_queue, &entry->work);
	}
	spin_unlock_bh(&door->lock);
	return verdict;
}

int smapp_syn_claim(struct door *door, const struct sockaddr_in6 *peer, const struct sockaddr_in6 *local,
		    struct socket **sock, ktime_t *begun)
{
	struct entry *entry;
	int error;

	spin_lock_bh(&door->lock);
	entry = find(door, peer, local);
	if (entry)
		unlink(entry);
	spin_unlock_bh(&door->lock);
	if (!entry)
		return -ENOENT;
	entry_stop(entry);
	error = entry->error;
	if (entry->sock) {
		*sock = entry->sock;
		*begun = entry->begun;
		count_inc(door->control, syn_used);
	} else if (!error) {
		error = -ENOENT;	/* its turn has not come yet */
	}
	kfree_skb(entry->held);
	kfree(entry);
	return error;
}

static bool too_old(const struct entry *entry)
{
	unsigned long age = entry->state == ENTRY_OPEN || entry->state == ENTRY_FAILED ?
			    CLAIM_TIME : entry->door->patience.connect;

	return time_after(jiffies, entry->born + age);
}

static void sweep(struct door *door, bool all)
{
	HLIST_HEAD(old);
	struct hlist_node *next;
	struct entry *entry;
	int i;

	spin_lock_bh(&door->lock);
	for (i = 0; i < BUCKETS; i++) {
		hlist_for_each_entry_safe(entry, next, &door->table[i], node) {
			if (!all && !too_old(entry))
				continue;
			unlink(entry);
			hlist_add_head(&entry->node, &old);
		}
	}
	if (door->count)
		queue_delayed_work(smapp_queue, &door->sweep, HZ);
	spin_unlock_bh(&door->lock);
	hlist_for_each_entry_safe(entry, next, &old, node) {
		count_inc(door->control, syn_expired);
		hlist_del(&entry->node);
		entry_dispose(entry);
	}
}

static void sweep_work(struct work_struct *work)
{
	sweep(container_of(to_delayed_work(work), struct door, sweep), false);
}

static int hook_add(struct door *door, u8 family, int priority)
{
	struct nf_hook_ops *hook = &door->hooks[door->hook_count];
	int error;

	hook->hook = door_hook;
	hook->priv = door;
	hook->pf = family;
	hook->hooknum = NF_INET_LOCAL_IN;
	hook->priority = priority;
	error = nf_register_net_hook(door->net, hook);
	if (!error)
		door->hook_count++;
	return error;
}

static void door_free(struct door *door)
{
	while (door->hook_count)
		nf_unregister_net_hook(door->net, &door->hooks[--door->hook_count]);
	synchronize_net();	/* no hook sees the door any more */
	cancel_delayed_work_sync(&door->sweep);
	sweep(door, true);
	list_del(&door->node);
	kvfree(door);
}

static void bound_to(const struct sock *sk, struct in6_addr *address)
{
	if (sk->sk_family == AF_INET6)
		*address = sk->sk_v6_rcv_saddr;
	else if (inet_sk(sk)->inet_rcv_saddr)
		ipv6_addr_set_v4mapped(inet_sk(sk)->inet_rcv_saddr, address);
}

/* Listeners of one control on one port and address share a door: a SYN must open one server's side. */
struct door *smapp_door_get(struct control *control, const struct listener *listener)
{
	const struct sock *sk = listener->sock->sk;
	struct in6_addr address = {};
	struct door *door;
	int error = 0;

	bound_to(sk, &address);
	list_for_each_entry(door, &control->doors, node) {
		if (door->net == sock_net(sk) && door->port == inet_sk(sk)->inet_sport &&
		    ipv6_addr_equal(&door->address, &address)) {
			door->users++;
			return door;
		}
	}
	door = kvzalloc(sizeof(*door), GFP_KERNEL);
	if (!door)
		return ERR_PTR(-ENOMEM);
	door->users = 1;
	door->control = control;
	door->net = sock_net(sk);
	door->config = listener->config;
	door->patience = listener->patience;
	door->port = inet_sk(sk)->inet_sport;
	door->address = address;
	door->seed = get_random_u32();
	INIT_DELAYED_WORK(&door->sweep, sweep_work);
	spin_lock_init(&door->lock);
	list_add(&door->node, &control->doors);
	if (!ipv6_only_sock(sk))
		error = hook_add(door, NFPROTO_IPV4, NF_IP_PRI_FILTER + 1);
	if (!error && sk->sk_family == AF_INET6)
		error = hook_add(door, NFPROTO_IPV6, NF_IP6_PRI_FILTER + 1);
	if (error) {
		door_free(door);
		return ERR_PTR(error);
	}
	return door;
}

void smapp_door_put(struct door *door)
{
	if (!--door->users)
		door_free(door);
}
