/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel-entry lock.
 *
 * A vCPU in kernel mode owns it; user mode and idle own nothing. It lies in memory
 * that all vCPUs and QEMU share. Guest and tests compile this one piece of code; the
 * model of it that is checked by spin is tests/krr/model/lock.pml.
 *
 * Uncontended, it costs one atomic instruction to take it and one to give it up.
 * Who finds it taken gets a ticket and queues. The first in the queue is the
 * head, whose name stands in the lock word itself. Until the head has waited for
 * KRR_LOCK_PATIENCE others may still take a free lock past it, above all the
 * last owner, whose caches are warm: a vCPU that makes many short system calls keeps the lock
 * for a while, in place of a hand-over at each of them. After that the owner gives
 * the lock to the head directly.
 *
 * Who waits looks for KRR_LOCK_SPIN and then sleeps, because looking costs others too: the
 * sibling of a hyperthread, and whoever could use the CPU. The head's sleep is a doze: it ends by
 * itself after about the patience. So an owner that has made a short call need not wake it, which
 * costs more than the call did; one that has kept the lock for longer than that does (rouse). A
 * head that dozes or is just waking up may be passed beyond its patience, so that no time is
 * lost until it runs again, but never more than KRR_LOCK_BYPASS times.
 *
 * So who has k others before it in the queue gets the lock after at most
 * (k + 1) * (KRR_LOCK_BYPASS + 1) slices, counted from when it and they have queued and
 * looked once.
 *
 * A participant is known by its id: a vCPU by its number, QEMU's device group by
 * KRR_MAX_VCPUS. The file that includes this one defines before:
 *
 *   struct krr_lock_user                          the participant; opaque here
 *   krr_lock_over(user)          bool             give up: there is no lock any more
 *   krr_lock_sleep(user)                          until a wake; may return early
 *   krr_lock_doze(user)                           the same, for about the patience at most
 *   krr_lock_wake(user, id)                       ends the sleep of id, now or its next
 *   krr_lock_clock()             __u64            cycles, of any clock that goes on
 *   krr_lock_pause()                              between two looks
 *   KRR_LOCK_CODE                                 static inline, with attributes
 */
#ifndef _LINUX_KRR_LOCK_H
#define _LINUX_KRR_LOCK_H

#include <linux/krr.h>

/* Cycles for which a head that is awake is passed by; about 0.1 milliseconds. */
#ifndef KRR_LOCK_PATIENCE
#define KRR_LOCK_PATIENCE	(1U << 18)
#endif
/* Slices of others that pass a head at most. */
#ifndef KRR_LOCK_BYPASS
#define KRR_LOCK_BYPASS		1024U
#endif
/* Cycles of looking before a sleep: about what it costs to sleep and to be woken. */
#ifndef KRR_LOCK_SPIN
#define KRR_LOCK_SPIN		(1U << 16)
#endif
/* Looks between two looks at the clock: who reads it all the time slows down others that do,
 * in emulators above all. */
#ifndef KRR_LOCK_LOOKS
#define KRR_LOCK_LOOKS		64U
#endif
/* Looks that find the lock free in a row, before a head takes it: the last owner
 * may be on its way back. */
#ifndef KRR_LOCK_FREE_LOOKS
#define KRR_LOCK_FREE_LOOKS	16U
#endif

/* Names in lock word and queue: the id and one; 0 is nobody. */
#define KRR_LOCK_NAME(id)	((id) + 1U)
#define KRR_LOCK_HEAD_IS(name)	((name) << 8)
/* In the word, beside owner and head: */
#define KRR_LOCK_ASLEEP		0x10000U	/* the head dozes */
#define KRR_LOCK_WAKING		0x20000U	/* it has been woken, and does not look yet */
#define KRR_LOCK_AWAY		(KRR_LOCK_ASLEEP | KRR_LOCK_WAKING)
/* In the queue, beside the name: this one sleeps. */
#define KRR_LOCK_SLEEPER	0x100U

KRR_LOCK_CODE __u32 krr_lock_load(const __u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

KRR_LOCK_CODE bool krr_lock_swap(__u32 *p, __u32 from, __u32 to)
{
	return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/*
 * Makes the one with @ticket the head, if it has queued; the caller is the owner and
 * says before that this ticket is served.
 *
 * Each place is written by the one that waits there, and by nobody else. It writes its
 * place, or that it sleeps, and then looks at the ticket that is served; here it is the other
 * way round. So one of the two sees what the other has written.
 */
KRR_LOCK_CODE void krr_lock_promote(struct krr_lock *lock, struct krr_lock_user *user,
				    __u32 ticket)
{
	__u32 place = krr_lock_load(&lock->queue[ticket % KRR_LOCK_QUEUE]);
	__u32 name = place & 0xffU;
	bool sleeps = place & KRR_LOCK_SLEEPER;

	if (!name)
		return;
	__atomic_store_n(&lock->since, krr_lock_clock(), __ATOMIC_RELAXED);
	__atomic_fetch_or(&lock->word,
			  KRR_LOCK_HEAD_IS(name) | (sleeps ? KRR_LOCK_WAKING : 0),
			  __ATOMIC_SEQ_CST);
	if (sleeps)
		krr_lock_wake(user, name - 1);
}

/*
 * The same for oneself: the owner before may have been there too early. It cannot fail,
 * however often others take and give the lock meanwhile: from here on the bound holds.
 *
 * If the owner before was not too early, it may have made this one the head just now, and
 * somebody may even have given it the lock. Then nobody else touches the word's head.
 */
KRR_LOCK_CODE void krr_lock_step_forward(struct krr_lock *lock, __u32 id)
{
	__u32 name = KRR_LOCK_NAME(id);

	__atomic_store_n(&lock->since, krr_lock_clock(), __ATOMIC_RELAXED);
	__atomic_fetch_or(&lock->word, KRR_LOCK_HEAD_IS(name), __ATOMIC_SEQ_CST);
	if (KRR_LOCK_OWNER(krr_lock_load(&lock->word)) == name)
		__atomic_fetch_and(&lock->word, ~KRR_LOCK_HEAD_IS(0xffU), __ATOMIC_SEQ_CST);
}

/* Takes a free lock, past the head if there is one. */
KRR_LOCK_CODE bool krr_lock_try(struct krr_lock *lock, __u32 id)
{
	__u32 word = 0;

	if (__atomic_compare_exchange_n(&lock->word, &word, KRR_LOCK_NAME(id), false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return true;
	if (KRR_LOCK_OWNER(word) ||
	    !krr_lock_swap(&lock->word, word, word | KRR_LOCK_NAME(id)))
		return false;
	__atomic_store_n(&lock->bypassed, krr_lock_load(&lock->bypassed) + 1,
			 __ATOMIC_RELAXED);
	return true;
}

/* What the head does; @looks counts its looks at a free lock. True: it owns it. */
KRR_LOCK_CODE bool krr_lock_head_look(struct krr_lock *lock, __u32 id, __u32 word,
				      __u32 *looks, __u32 *bypassed)
{
	__u32 now = krr_lock_load(&lock->bypassed);

	if (KRR_LOCK_OWNER(word) || now != *bypassed) {
		*bypassed = now;
		*looks = 0;
		return false;
	}
	return ++*looks >= KRR_LOCK_FREE_LOOKS &&
	       krr_lock_swap(&lock->word, word, KRR_LOCK_NAME(id));
}

/* Dozes as the head, unless @word is old. */
KRR_LOCK_CODE void krr_lock_sleep_as_head(struct krr_lock *lock, struct krr_lock_user *user,
					  __u32 word)
{
	if (KRR_LOCK_OWNER(word) &&
	    krr_lock_swap(&lock->word, word, word | KRR_LOCK_ASLEEP))
		krr_lock_doze(user);
}

/* Sleeps in the queue, unless it is this one's turn. */
KRR_LOCK_CODE void krr_lock_sleep_in_queue(struct krr_lock *lock, struct krr_lock_user *user,
					   __u32 id, __u32 ticket)
{
	__u32 *place = &lock->queue[ticket % KRR_LOCK_QUEUE];

	__atomic_store_n(place, KRR_LOCK_NAME(id) | KRR_LOCK_SLEEPER, __ATOMIC_SEQ_CST);
	if (krr_lock_load(&lock->serving) != ticket)
		krr_lock_sleep(user);
	__atomic_store_n(place, KRR_LOCK_NAME(id), __ATOMIC_SEQ_CST);
}

/*
 * Queues. False: it is over, and so is the queue. *@given: the clock when an owner gave the
 * lock to this one; 0 if it was free.
 */
KRR_LOCK_CODE bool krr_lock_queue(struct krr_lock *lock, struct krr_lock_user *user,
				  __u32 id, __u64 *given)
{
	__u32 name = KRR_LOCK_NAME(id), looks = 0, free_looks = 0, bypassed = 0;
	__u32 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_SEQ_CST);
	__u32 *place = &lock->queue[ticket % KRR_LOCK_QUEUE];
	__u64 start = krr_lock_clock();

	__atomic_store_n(place, name, __ATOMIC_SEQ_CST);
	*given = 0;
	for (;;) {
		__u32 word = krr_lock_load(&lock->word);

		if (KRR_LOCK_OWNER(word) == name) {
			*given = __atomic_load_n(&lock->given, __ATOMIC_RELAXED);
			break;
		}
		if (krr_lock_over(user))
			return false;
		if (KRR_LOCK_HEAD(word) == name && word & KRR_LOCK_AWAY) {
			/* Up again. If the lock is this one's meanwhile, nobody else is the head. */
			__atomic_fetch_and(&lock->word, ~KRR_LOCK_AWAY, __ATOMIC_SEQ_CST);
		} else if (KRR_LOCK_HEAD(word) == name) {
			if (krr_lock_head_look(lock, id, word, &free_looks, &bypassed))
				break;
		} else if (krr_lock_load(&lock->serving) == ticket) {
			krr_lock_step_forward(lock, id);
		}
		if (++looks % KRR_LOCK_LOOKS == 0 &&
		    krr_lock_clock() - start > KRR_LOCK_SPIN) {
			if (KRR_LOCK_HEAD(word) == name)
				krr_lock_sleep_as_head(lock, user, word);
			else
				krr_lock_sleep_in_queue(lock, user, id, ticket);
			start = krr_lock_clock();
		}
		krr_lock_pause();
	}
	__atomic_store_n(place, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&lock->bypassed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&lock->serving, ticket + 1, __ATOMIC_SEQ_CST);
	krr_lock_promote(lock, user, ticket + 1);
	return true;
}

/**
 * krr_lock_take - takes the lock; the caller does not own it
 *
 * *@waited: it was not free, and the caller queued. *@given: as krr_lock_queue() says, and
 * 0 if it did not queue. False: it was given up because krr_lock_over() said so.
 */
KRR_LOCK_CODE bool krr_lock_take(struct krr_lock *lock, struct krr_lock_user *user,
				 __u32 id, bool *waited, __u64 *given)
{
	*given = 0;
	*waited = !krr_lock_try(lock, id);
	return !*waited || krr_lock_queue(lock, user, id, given);
}

/* Is it time to give the lock to the head of @word? */
KRR_LOCK_CODE bool krr_lock_due(const struct krr_lock *lock, __u32 word)
{
	__u64 since = __atomic_load_n(&lock->since, __ATOMIC_RELAXED);

	if (krr_lock_load(&lock->bypassed) >= KRR_LOCK_BYPASS)
		return true;
	return !(word & KRR_LOCK_AWAY) && krr_lock_clock() - since > KRR_LOCK_PATIENCE;
}

/*
 * Gives the lock up: to the head if it is @due or its turn, else to anybody; then a head that
 * dozes is woken if the owner wants to @rouse it.
 */
KRR_LOCK_CODE void krr_lock_give(struct krr_lock *lock, struct krr_lock_user *user,
				 bool due, bool rouse)
{
	__u32 word = krr_lock_load(&lock->word), next, head;
	bool wake;

	do {
		head = KRR_LOCK_HEAD(word);
		wake = word & KRR_LOCK_ASLEEP;
		if (!head) {
			next = 0;
		} else if (due || krr_lock_due(lock, word)) {
			next = head;
			__atomic_store_n(&lock->given, krr_lock_clock(), __ATOMIC_RELAXED);
		} else {
			next = word & ~KRR_LOCK_OWNER_MASK;
			wake = wake && rouse;
			if (wake)
				next ^= KRR_LOCK_AWAY;
		}
	} while (!__atomic_compare_exchange_n(&lock->word, &word, next, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	if (wake)
		krr_lock_wake(user, head - 1);
}

/*
 * krr_lock_release - gives the lock up; the caller owns it
 *
 * @rouse: the slice was a long one (KRR_LOCK_PATIENCE)
 */
KRR_LOCK_CODE void krr_lock_release(struct krr_lock *lock, struct krr_lock_user *user,
				    bool rouse)
{
	krr_lock_give(lock, user, false, rouse);
}

/* krr_lock_hand_over - the same, in favour of the head */
KRR_LOCK_CODE void krr_lock_hand_over(struct krr_lock *lock, struct krr_lock_user *user)
{
	krr_lock_give(lock, user, true, true);
}

/* krr_lock_wanted - does somebody wait, who would get the lock by a hand-over? */
KRR_LOCK_CODE bool krr_lock_wanted(const struct krr_lock *lock)
{
	return KRR_LOCK_HEAD(krr_lock_load(&lock->word)) != 0;
}

/* krr_lock_ready - the same, and is it ready to run? A head that dozes is woken. */
KRR_LOCK_CODE bool krr_lock_ready(struct krr_lock *lock, struct krr_lock_user *user)
{
	__u32 word = krr_lock_load(&lock->word);

	if (word & KRR_LOCK_ASLEEP && krr_lock_swap(&lock->word, word, word ^ KRR_LOCK_AWAY))
		krr_lock_wake(user, KRR_LOCK_HEAD(word) - 1);
	return KRR_LOCK_HEAD(word) && !(word & KRR_LOCK_AWAY);
}

#endif /* _LINUX_KRR_LOCK_H */
