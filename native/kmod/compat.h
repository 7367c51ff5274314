/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the kernel's interfaces differ between 6.1 and 6.18. Nothing else asks for a version. */
#ifndef COMPAT_H
#define COMPAT_H

#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <net/sock.h>

/* 6.10: accept takes its arguments in a structure. */
static inline int compat_accept(struct socket *listener, struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(listener->ops);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	struct proto_accept_arg arg = { .flags = O_NONBLOCK };

	return ops->accept(listener, sock, &arg);
#else
	return ops->accept(listener, sock, O_NONBLOCK, false);
#endif
}

static inline void compat_timer_delete_sync(struct timer_list *timer)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	timer_delete_sync(timer);
#else
	del_timer_sync(timer);
#endif
}

/* 6.5: MSG_SPLICE_PAGES took the place of sendpage. (Debian's 6.1 defines the flag and does not heed it.) */
static inline int compat_send_pages(struct socket *sock, struct page *page, u32 offset, u32 length)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_SPLICE_PAGES };
	struct bio_vec vec = { .bv_page = page, .bv_offset = offset, .bv_len = length };

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, length);
	return sock_sendmsg(sock, &msg);
#else
	u32 in_page = offset & ~PAGE_MASK;
	u32 part = min_t(u32, length, PAGE_SIZE - in_page);
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

	if (part < length)
		flags |= MSG_SENDPAGE_NOTLAST | MSG_MORE;
	return kernel_sendpage(sock, page + (offset >> PAGE_SHIFT), in_page, part, flags);
#endif
}

#endif
