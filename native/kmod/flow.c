// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves bytes from one socket to the other, with one copy at most:
 *   TCP to MPTCP   segments are cloned off the receive queue, and copied by MPTCP's sendmsg
 *   MPTCP to TCP   copied into the worker's page by MPTCP's recvmsg, and the page's part is given to TCP
 * What cannot be sent waits here, and its source is not read until it is gone. Called with no lock held,
 * and never holds two socket locks at a time.
 */
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/uio.h>
#include <net/tcp.h>

#include "compat.h"
#include "convert.h"

#define TURN		(1024 * 1024)	/* bytes for one flow before others get their turn */
#define BATCH		(256 * 1024)
#define SMALL_READ	PAGE_SIZE	/* a read of less, and of less than asked for, has emptied the socket */
#define SMALL_SEND	2048		/* up to here copying costs less than giving the page away */
#define VECTORS		64

static struct control *flow_control(const struct flow *flow)
{
	return flow->from->pair->control;
}

static bool tight(const struct flow *flow)
{
	struct control *control = flow_control(flow);

	return count_get(control, memory) > READ_ONCE(control->max_memory);
}

void smapp_flow_init(struct flow *flow, struct end *from, struct end *to)
{
	flow->from = from;
	flow->to = to;
	__skb_queue_head_init(&flow->taken);
}

/* What is held is counted, in whole pages; a page may be shared with others. */
static void count_held(struct flow *flow)
{
	u32 held = PAGE_ALIGN(flow->length);

	if (held != flow->counted)
		count_add(flow_control(flow), memory, (s64)held - flow->counted);
	flow->counted = held;
}

static void page_drop(struct flow *flow)
{
	if (flow->page)
		put_page(flow->page);
	flow->page = NULL;
	flow->length = 0;
}

void smapp_flow_free(struct flow *flow)
{
	struct sk_buff *skb;

	page_drop(flow);
	count_held(flow);
	while ((skb = __skb_dequeue(&flow->taken))) {
		count_add(flow_control(flow), memory, -(s64)skb->truesize);
		kfree_skb(skb);
	}
}

static int receive_copy(struct flow *flow)
{
	struct worker *worker = flow->from->pair->job.worker;
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT };
	struct bio_vec vec;
	int got;

	if (!smapp_worker_page(worker))
		return -ENOMEM;
	vec.bv_page = worker->page;
	vec.bv_offset = worker->used;
	vec.bv_len = worker->size - worker->used;
	if (tight(flow))
		vec.bv_len = min_t(u32, vec.bv_len, PAGE_SIZE);
	iov_iter_bvec(&msg.msg_iter, ITER_DEST, &vec, 1, vec.bv_len);
	got = sock_recvmsg(flow->from->sock, &msg, MSG_DONTWAIT);
	if (got > 0) {
		get_page(worker->page);
		flow->page = worker->page;
		flow->offset = worker->used;
		flow->length = got;
		flow->given = false;
		flow->filled = got == vec.bv_len;
		worker->used += ALIGN(got, SMP_CACHE_BYTES);
	}
	return got;
}

/* All sent. What was copied, and nobody has received behind, is free again. */
static void page_done(struct flow *flow, u32 last)
{
	struct worker *worker = flow->from->pair->job.worker;

	if (!flow->given && flow->page == worker->page &&
	    flow->offset - last + ALIGN(last, SMP_CACHE_BYTES) == worker->used)
		worker->used = flow->offset - last;
	page_drop(flow);
}

static int send_copy(struct flow *flow)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct bio_vec vec;
	bool give = !flow->to->mptcp && flow->length >= SMALL_SEND;
	int sent;

	if (give) {
		sent = compat_send_pages(flow->to->sock, flow->page, flow->offset, flow->length);
		flow->given |= sent > 0;
	} else {
		vec.bv_page = flow->page;
		vec.bv_offset = flow->offset;
		vec.bv_len = flow->length;
		iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, flow->length);
		sent = sock_sendmsg(flow->to->sock, &msg);
	}
	if (sent > 0) {
		flow->offset += sent;
		flow->length -= sent;
		if (!flow->length)
			page_done(flow, sent);
	}
	return sent;
}

/* A taken segment: which part of it is still to be sent. */
struct part {
	u32 offset, length;
};

static struct part *part(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct part) > sizeof(skb->cb));
	return (struct part *)skb->cb;
}

/* tcp_read_sock() actor, under the socket's lock. Returns how many bytes it took. */
static int take(read_descriptor_t *desc, struct sk_buff *skb, unsigned int offset, size_t length)
{
	struct flow *flow = desc->arg.data;
	struct sk_buff *clone;

	length = min_t(size_t, length, desc->count);
	if (skb_queue_len(&flow->taken) >= VECTORS)
		length = 0;
	if (!length) {
		flow->filled = true;
		return 0;
	}
	clone = skb_clone(skb, GFP_KERNEL);
	if (!clone)
		return -ENOMEM;
	part(clone)->offset = offset;
	part(clone)->length = length;
	__skb_queue_tail(&flow->taken, clone);
	flow->taken_bytes += length;
	count_add(flow_control(flow), memory, clone->truesize);
	desc->count -= length;
	return length;
}

static int receive_taken(struct flow *flow)
{
	struct sock *sk = flow->from->sock->sk;
	read_descriptor_t desc = { .arg.data = flow, .count = tight(flow) ? PAGE_SIZE : BATCH };
	int got;

	flow->filled = false;
	lock_sock(sk);
	got = tcp_read_sock(sk, &desc, take);
	if (got == 0) {
		if (sk->sk_err)
			got = sock_error(sk);
		else if (!(sk->sk_shutdown & RCV_SHUTDOWN) && sk->sk_state != TCP_CLOSE)
			got = -EAGAIN;
	} else if (got == -ENOTCONN) {
		got = sk->sk_err ? sock_error(sk) : -ECONNRESET;
	}
	release_sock(sk);
	flow->filled |= desc.count == 0;
	return got;
}

struct vectors {
	struct bio_vec vec[VECTORS];
	unsigned int count;
	u32 bytes;
};

static bool vectors_add(struct vectors *v, struct page *page, u32 page_offset, u32 size, struct part *left)
{
	u32 length;

	if (left->offset >= size) {
		left->offset -= size;
		return true;
	}
	if (v->count == VECTORS)
		return false;
	length = min(left->length, size - left->offset);
	v->vec[v->count].bv_page = page;
	v->vec[v->count].bv_offset = page_offset + left->offset;
	v->vec[v->count].bv_len = length;
	v->count++;
	v->bytes += length;
	left->length -= length;
	left->offset = 0;
	return left->length > 0;
}

/* Returns false when the segment's part is complete, or there is no more room for it. */
static bool vectors_add_skb(struct vectors *v, struct sk_buff *skb, struct part *left)
{
	u32 head = skb_headlen(skb);
	struct sk_buff *next;
	int i;

	if (head && !vectors_add(v, virt_to_page(skb->data), offset_in_page(skb->data), head, left))
		return false;
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		if (!vectors_add(v, skb_frag_page(frag), skb_frag_off(frag), skb_frag_size(frag), left))
			return false;
	}
	skb_walk_frags(skb, next)
		if (!vectors_add_skb(v, next, left))
			return false;
	return true;
}

/* One sendmsg for as many segments as fit. */
static noinline int send_taken(struct flow *flow)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct vectors v;
	struct sk_buff *skb;
	int sent, left;

	v.count = 0;
	v.bytes = 0;
	skb_queue_walk(&flow->taken, skb) {
		struct part rest = *part(skb);

		vectors_add_skb(&v, skb, &rest);
		if (rest.length)
			break;
	}
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, v.vec, v.count, v.bytes);
	sent = sock_sendmsg(flow->to->sock, &msg);
	for (left = sent; left > 0;) {
		u32 length;

		skb = skb_peek(&flow->taken);
		length = min_t(u32, left, part(skb)->length);
		part(skb)->offset += length;
		part(skb)->length -= length;
		left -= length;
		flow->taken_bytes -= length;
		if (!part(skb)->length) {
			__skb_unlink(skb, &flow->taken);
			count_add(flow_control(flow), memory, -(s64)skb->truesize);
			consume_skb(skb);
		}
	}
	return sent;
}

/* Returns the bytes sent, -EAGAIN with END_FULL set, or the error. */
static int send(struct flow *flow)
{
	struct end *to = flow->to;
	bool again = false;
	int sent;

	for (;;) {
		sent = flow->length ? send_copy(flow) : send_taken(flow);
		if (sent != -EAGAIN || again)
			break;
		/* Room that came before the bit was set has woken nobody: look once more. */
		set_bit(END_FULL, &to->bits);
		smp_mb__after_atomic();
		again = true;
	}
	if (sent != -EAGAIN && again)
		clear_bit(END_FULL, &to->bits);
	return sent ? sent : -EPIPE;
}

/* The end, or an error, is there already: nothing more will wake us for it. */
static bool ending(const struct end *end)
{
	const struct sock *sk = end->sock->sk;

	return READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN || READ_ONCE(sk->sk_err) ||
	       inet_sk_state_load(sk) == TCP_CLOSE;
}

static struct end *move(struct flow *flow, bool *more)
{
	bool take_segments = !flow->from->mptcp && flow->to->mptcp;
	int room = TURN, got;

	for (;;) {
		while (flow->length || flow->taken_bytes) {
			if (test_bit(END_FULL, &flow->to->bits))
				return NULL;
			got = send(flow);
			if (got == -EAGAIN)
				return NULL;
			if (got < 0)
				return flow->to;
			flow->bytes += got;
			room -= got;
		}
		if (flow->ended) {
			if (!flow->closed) {
				flow->closed = true;
				kernel_sock_shutdown(flow->to->sock, SHUT_WR);
			}
			return NULL;
		}
		if (room <= 0) {
			*more = true;
			return NULL;
		}
		if (!test_and_clear_bit(END_READABLE, &flow->from->bits))
			return NULL;
		got = take_segments ? receive_taken(flow) : receive_copy(flow);
		if (got == -EAGAIN)
			return NULL;
		if (got < 0)
			return flow->from;
		if (got == 0)
			flow->ended = true;
		else if (flow->filled || got >= SMALL_READ || ending(flow->from))
			set_bit(END_READABLE, &flow->from->bits);
	}
}

struct end *smapp_flow_move(struct flow *flow, bool *more)
{
	struct end *failed = move(flow, more);

	count_held(flow);
	return failed;
}
