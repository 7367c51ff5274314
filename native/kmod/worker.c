// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that run jobs, one a processor. A job belongs to one worker for life, so it never runs twice at a time.
 * Cheaper than a workqueue for jobs as short as ours, and it lets connections share a page to receive into.
 */
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "worker.h"

#define PAGE_ORDER	3	/* as the sockets' own page fragments */
#define ROOM		4096	/* less is not worth a read */

static struct worker *workers;
static unsigned int worker_count;

static int worker_thread(void *argument)
{
	struct worker *worker = argument;

	while (!kthread_should_stop()) {
		struct llist_node *batch;
		struct job *job, *next;

		set_current_state(TASK_IDLE);
		batch = llist_del_all(&worker->jobs);
		if (!batch) {
			schedule();
			continue;
		}
		__set_current_state(TASK_RUNNING);
		llist_for_each_entry_safe(job, next, llist_reverse_order(batch), node) {
			clear_bit(JOB_QUEUED, &job->bits);
			smp_mb__after_atomic();
			job->run(job);
			cond_resched();
		}
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

void smapp_job_init(struct job *job, void (*run)(struct job *job))
{
	job->run = run;
	job->bits = 0;
	job->worker = &workers[raw_smp_processor_id() % worker_count];
}

void smapp_job_queue(struct job *job)
{
	if (!test_and_set_bit(JOB_QUEUED, &job->bits) && llist_add(&job->node, &job->worker->jobs))
		wake_up_process(job->worker->task);
}

bool smapp_job_retire(struct job *job)
{
	return !test_and_set_bit(JOB_QUEUED, &job->bits);
}

struct barrier {
	struct job job;
	struct completion passed;
};

static void barrier_run(struct job *job)
{
	complete(&container_of(job, struct barrier, job)->passed);
}

static void worker_flush(struct worker *worker)
{
	struct barrier barrier;

	smapp_job_init(&barrier.job, barrier_run);
	barrier.job.worker = worker;
	init_completion(&barrier.passed);
	smapp_job_queue(&barrier.job);
	wait_for_completion(&barrier.passed);
}

void smapp_job_flush(struct job *job)
{
	worker_flush(job->worker);
}

void smapp_workers_flush(void)
{
	unsigned int i;

	for (i = 0; i < worker_count; i++)
		worker_flush(&workers[i]);
}

bool smapp_worker_page(struct worker *worker)
{
	unsigned int order = PAGE_ORDER;

	if (worker->page) {
		if (worker->size - worker->used >= ROOM)
			return true;
		/* Nobody else has a part of it any more. */
		if (page_count(worker->page) == 1) {
			worker->used = 0;
			return true;
		}
		put_page(worker->page);
	}
	worker->page = alloc_pages(GFP_KERNEL | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY, order);
	if (!worker->page) {
		order = 0;
		worker->page = alloc_page(GFP_KERNEL);
	}
	worker->size = PAGE_SIZE << order;
	worker->used = 0;
	return worker->page;
}

void smapp_workers_stop(void)
{
	unsigned int i;

	for (i = 0; i < worker_count; i++) {
		kthread_stop(workers[i].task);
		if (workers[i].page)
			put_page(workers[i].page);
	}
	kfree(workers);
}

int smapp_workers_start(void)
{
	unsigned int count = num_online_cpus();

	workers = kcalloc(count, sizeof(*workers), GFP_KERNEL);
	if (!workers)
		return -ENOMEM;
	for (worker_count = 0; worker_count < count; worker_count++) {
		struct worker *worker = &workers[worker_count];
		struct task_struct *task = kthread_run(worker_thread, worker, "smapp_convert/%u", worker_count);

		if (IS_ERR(task)) {
			smapp_workers_stop();
			return PTR_ERR(task);
		}
		worker->task = task;
	}
	return 0;
}
