// SPDX-License-Identifier: GPL-2.0-only
/* What the agent reads: counters by ioctl, and one line a connection by read(). */
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "convert.h"

int smapp_report_stats(struct control *control, void __user *to)
{
	u64 values[1 + COUNTERS], size;
	int i;

	BUILD_BUG_ON(sizeof(values) != sizeof(struct smapp_stats));
	if (get_user(size, (u64 __user *)to))
		return -EFAULT;
	if (size < sizeof(u64))
		return -EINVAL;
	size = min_t(u64, size, sizeof(values));
	values[0] = size;
	for (i = 0; i < COUNTERS; i++)
		values[1 + i] = atomic64_read(&control->count[i]);
	return copy_to_user(to, values, size) ? -EFAULT : 0;
}

static void *lines_start(struct seq_file *lines, loff_t *at)
{
	struct control *control = lines->private;

	spin_lock(&control->lock);
	return seq_list_start(&control->pairs, *at);
}

static void *lines_next(struct seq_file *lines, void *node, loff_t *at)
{
	struct control *control = lines->private;

	return seq_list_next(node, &control->pairs, at);
}

static void lines_stop(struct seq_file *lines, void *node)
{
	struct control *control = lines->private;

	spin_unlock(&control->lock);
}

static void put_address(struct seq_file *lines, const struct sockaddr_in6 *address)
{
	if (smapp_address_is_v4(address))
		seq_printf(lines, "%pI4:%u ", &address->sin6_addr.s6_addr32[3], ntohs(address->sin6_port));
	else
		seq_printf(lines, "[%pI6c]:%u ", &address->sin6_addr, ntohs(address->sin6_port));
}

static u32 held(const struct flow *flow)
{
	return READ_ONCE(flow->length) + READ_ONCE(flow->taken_bytes);
}

static int lines_show(struct seq_file *lines, void *node)
{
	const struct pair *pair = list_entry(node, struct pair, node);

	seq_puts(lines, pair->state == STATE_CONNECT ? "connect " : "relay ");
	put_address(lines, &pair->peer);
	put_address(lines, &pair->destination);
	seq_printf(lines, "%u %u %u %llu %llu %u %s %d\n", jiffies_to_msecs(jiffies - pair->since),
		   jiffies_to_msecs(jiffies - READ_ONCE(pair->active)), pair->open_us, pair->up.bytes,
		   pair->down.bytes, held(&pair->up) + held(&pair->down), pair->client.mptcp ? "mptcp" : "tcp",
		   pair->syn_timed);
	return 0;
}

static const struct seq_operations lines = {
	.start = lines_start,
	.next = lines_next,
	.stop = lines_stop,
	.show = lines_show,
};

int smapp_report_open(struct file *file, struct control *control)
{
	int error;

	file->private_data = NULL;	/* misc_open() has put the device there */
	error = seq_open(file, &lines);
	if (!error)
		((struct seq_file *)file->private_data)->private = control;
	return error;
}

int smapp_report_release(struct inode *inode, struct file *file)
{
	return seq_release(inode, file);
}

struct control *smapp_report_control(struct file *file)
{
	return ((struct seq_file *)file->private_data)->private;
}
