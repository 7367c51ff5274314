// SPDX-License-Identifier: GPL-2.0-only
/*
 * smapp_convert: joins MPTCP connections of clients with TCP connections to servers, in the kernel
 * (MiMBox, HotMiddlebox'13). This file is the device; convert.h says what there is.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "convert.h"

struct workqueue_struct *smapp_queue;

/* Structures grow at their end: older callers give less, newer ones may give more if it is zero. */
#define get(to, arg)									\
({											\
	u32 _size;									\
	get_user(_size, (u32 __user *)(arg)) ?:						\
		_size < offsetofend(typeof(*(to)), size) ? -EINVAL :			\
		copy_struct_from_user(to, sizeof(*(to)), (void __user *)(arg), _size);	\
})

static void listeners_free(struct control *control)
{
	struct listener *listener, *next;

	list_for_each_entry_safe(listener, next, &control->listeners, node)
		smapp_listener_free(listener);
}

static long control_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	struct control *control = smapp_report_control(file);
	struct smapp_listen listen;
	struct smapp_pair pair;
	struct smapp_limits limits;
	long error;

	mutex_lock(&control->setup);
	switch (command) {
	case SMAPP_IOC_LISTEN:
		error = get(&listen, arg);
		if (!error)
			error = smapp_listen(control, &listen);
		break;
	case SMAPP_IOC_PAIR:
		error = get(&pair, arg);
		if (!error && (!pair.connect_ms || !pair.idle_ms || !pair.half_ms))
			error = -EINVAL;
		if (!error)
			error = smapp_pair_adopt(control, &pair);
		break;
	case SMAPP_IOC_LIMITS:
		error = get(&limits, arg);
		if (!error) {
			WRITE_ONCE(control->max_pairs, limits.connections);
			WRITE_ONCE(control->max_memory, limits.memory);
		}
		break;
	case SMAPP_IOC_DRAIN:
		listeners_free(control);
		error = 0;
		break;
	case SMAPP_IOC_STATS:
		error = smapp_report_stats(control, (void __user *)arg);
		break;
	default:
		error = -ENOTTY;
	}
	mutex_unlock(&control->setup);
	return error;
}

static int control_open(struct inode *inode, struct file *file)
{
	struct control *control;
	int error;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	control = kzalloc(sizeof(*control), GFP_KERNEL);
	if (!control)
		return -ENOMEM;
	spin_lock_init(&control->lock);
	mutex_init(&control->setup);
	INIT_LIST_HEAD(&control->pairs);
	INIT_LIST_HEAD(&control->listeners);
	INIT_LIST_HEAD(&control->doors);
	init_waitqueue_head(&control->idle);
	control->max_pairs = 65536;
	control->max_memory = 256 << 20;
	error = smapp_report_open(file, control);
	if (error)
		kfree(control);
	return error;
}

static int control_release(struct inode *inode, struct file *file)
{
	struct control *control = smapp_report_control(file);

	listeners_free(control);
	smapp_pairs_kill(control);
	kfree(control);
	return smapp_report_release(inode, file);
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.read = seq_read,
	.llseek = seq_lseek,
	.unlocked_ioctl = control_ioctl,
};

static struct miscdevice device = {
	.minor = SMAPP_CONVERT_MINOR,
	.name = "smapp_convert",
	.fops = &operations,
	.mode = 0666,		/* control_open() asks for the capability */
};

static int __init convert_init(void)
{
	int error;

	smapp_queue = alloc_workqueue("smapp_convert", 0, 0);
	if (!smapp_queue)
		return -ENOMEM;
	error = smapp_workers_start();
	if (error)
		goto destroy;
	error = misc_register(&device);
	if (!error)
		return 0;
	smapp_workers_stop();
destroy:
	destroy_workqueue(smapp_queue);
	return error;
}

static void __exit convert_exit(void)
{
	misc_deregister(&device);
	smapp_workers_stop();
	destroy_workqueue(smapp_queue);
}

module_init(convert_init);
module_exit(convert_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Converter between MPTCP and TCP");
MODULE_VERSION("0.1.0");
