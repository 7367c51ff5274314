/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_H
#define WORKER_H

#include <linux/llist.h>
#include <linux/types.h>

struct page;
struct task_struct;

struct worker {
	struct task_struct *task;
	struct llist_head jobs;
	/* Received bytes go here; flows take references to what they cannot send at once. */
	struct page *page;
	u32 size, used;
};

#define JOB_QUEUED	0

struct job {
	struct llist_node node;
	unsigned long bits;
	void (*run)(struct job *job);
	struct worker *worker;
};

/* The job is for the worker of this processor. */
void smapp_job_init(struct job *job, void (*run)(struct job *job));
/* From any context. A job that is queued already runs once; one that is running, once more. */
void smapp_job_queue(struct job *job);
/* From its own run, when nobody queues it any more: false when it is queued, and will run once more. */
bool smapp_job_retire(struct job *job);
/* Returns when what was queued before has run. Not from a job. */
void smapp_job_flush(struct job *job);
void smapp_workers_flush(void);

/* Makes room in the worker's page. False: no memory. */
bool smapp_worker_page(struct worker *worker);

int smapp_workers_start(void);
void smapp_workers_stop(void);

#endif
