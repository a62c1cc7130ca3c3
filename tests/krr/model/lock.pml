/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model of the kernel-entry lock, linux-headers/linux/krr-lock.h, for spin.
 *
 * Each atomic instruction of the C code is one step here, with the C function's name
 * beside it. Time is a free choice: whether a spin is over, whether the head's
 * patience is over, whether it has looked often enough. Tickets count modulo the size
 * of the queue, which is as small as it may be, so slots are used again at once.
 *
 * Parameters, by -D:
 *   N         participants, each with a number from 0
 *   BYPASS    KRR_LOCK_BYPASS
 *   ROUNDS    each takes the lock so often in a row of entries; 0: for ever
 *   AWAKE     nobody sleeps, for fewer states
 *   EARLY     a sleep may end by itself
 *   TIMER     the head's doze ends by itself, and a release may leave it to that. Without,
 *             all wakes that should end a doze must come
 *   BOUND     check how often participant 0 is passed
 *   OVER      somebody ends the recording at some time
 *   SYSTEM    with the BQL: the last participant is the device group, a monitor stops
 *             the others and lets them go on, doorbells and device accesses need the BQL
 *   PROGRESS  participant 0 gets the lock again and again, under weak fairness; a head that
 *             finds the lock free always tries to take it
 *   MUTANT    1..: faults that must be found; see there
 *
 * Checked besides the assertions: invalid end states (deadlock, somebody sleeps for
 * ever) and, with PROGRESS, cycles in which participant 0 does not get the lock.
 */
#ifndef N
#define N 3
#endif
#ifndef BYPASS
#define BYPASS 1
#endif
#ifndef ROUNDS
#define ROUNDS 0
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define MUTANT_RELEASE_BLIND	1	/* a release does not look whether the head sleeps */
#define MUTANT_DOZE_BLIND	2	/* the head says that it sleeps, whatever the word is now */
#define MUTANT_UNBOUNDED	3	/* the head can be passed by for ever */
#define MUTANT_BQL_FIRST	4	/* the device group takes the BQL before the lock */
#define MUTANT_NO_SECOND_LOOK	5	/* in the queue: sleeps, whatever is served now */
#define MUTANT_SLEEP_BLIND	6	/* in the queue: sleeps without saying so in the slot */
#define MUTANT_BARGE_BLIND	7	/* takes a lock that was free when it looked */
#define MUTANT_WAKE_IS_LOST	8	/* a wake does not end the next sleep */
#define MUTANT_DEAF		9	/* a stop does not end a sleep */
#define MUTANT_SILENT_END	10	/* the end of a recording wakes nobody */
#define MUTANT_NO_PROMOTION	11	/* only the owner before it makes one the head */
#define MUTANT_STEP_CAN_FAIL	12	/* who makes itself the head fails if the word has changed */
#define MUTANT_STEP_BLIND	13	/* the same, without a look whether it owns the lock already */
#define MUTANT_PROMOTE_SILENT	14	/* who becomes the head in its sleep is not woken */

#if MUTANT == MUTANT_UNBOUNDED
#define LIMIT	false
#else
#define LIMIT	(bypassed >= BYPASS)
#endif

/* Once participant 0 has got the lock there is no more to see. */
#if defined(BOUND) || defined(PROGRESS)
#define FIRST
bool finished;
#endif

#define QUEUE	(N + 1)
#define NOBODY	0
#define NAME(id) ((id) + 1)

/* The lock. */
byte owner, head, away;		/* the three parts of the word */
#define UP	0		/* away: the head looks, */
#define ASLEEP	1		/* dozes, */
#define WAKING	2		/* or has been woken */
byte bypassed;
byte next, serving;		/* modulo QUEUE */
byte slot[QUEUE];
bool sleeper[QUEUE];

/* With PROGRESS: a doze is long enough not to end again and again while the owner gives the
 * lock, which has to try again then. */
#ifdef PROGRESS
bool giving;
#define GIVING(is)	giving = is
#else
#define giving		false
#define GIVING(is)	skip
#endif

bool wakeup[N];			/* pending wakes: eventfd or flag */
bool over;
byte inside;			/* ghost: how many own the lock */

#ifdef SYSTEM
#define DEVICES	(N - 1)
bool bql;
bool stop;			/* vm_stop(): vCPUs leave guest mode and sleep */
bool stopped[N];
#define STOP_POINT							\
	if								\
	:: id != DEVICES && stop -> stopped[id] = true; !stop; stopped[id] = false \
	:: else								\
	fi
#define BQL_LOCK	atomic { !bql -> bql = true }
#define BQL_UNLOCK	bql = false
#else
#define STOP_POINT	skip
#endif

#ifdef BOUND
/*
 * Participant 0 has queued when its first look is done, and so have all before it:
 * from then on the bound holds. A vCPU that the host takes off its CPU in the middle
 * of queueing is as good as not there.
 */
bool queued[N], complete[N], before[N];
bool counting;
byte passed, allowed;
#endif

inline ghost_queue(who)
{
#ifdef BOUND
	queued[who] = true;
	if
	:: who == 0 ->
		for (g : 1 .. N - 1) {
			before[g] = queued[g]
		}
	:: else
	fi;
	g = 0
#else
	skip
#endif
}

inline ghost_complete(who)
{
#ifdef BOUND
	complete[who] = queued[who];
	if
	:: !counting && queued[0] && complete[0] ->
		counting = true;
		allowed = BYPASS;
		for (g : 1 .. N - 1) {
			if
			:: before[g] -> allowed = allowed + BYPASS + 1;
				counting = counting && complete[g]
			:: else
			fi
		}
		passed = 0;
		if
		:: !counting -> allowed = 0
		:: else
		fi
	:: else
	fi;
	g = 0
#else
	skip
#endif
}

/* The owner in the word changes to @who. */
inline ghost_owner(who)
{
#ifdef BOUND
	queued[who] = false;
	complete[who] = false;
	before[who] = false;
	if
	:: who == 0 ->
		counting = false;
		passed = 0;
		allowed = 0;
		for (g : 1 .. N - 1) {
			before[g] = false
		}
	:: who != 0 && counting ->
		passed++;
		assert(passed <= allowed)
	:: else
	fi;
	/* One before it may have got the lock without ever being complete. */
	ghost_complete(who);
	g = 0
#else
	skip
#endif
}

#define WORD_IS_SEEN	(owner == seen_owner && head == seen_head && away == seen_away)
#define SEE_WORD	seen_owner = owner; seen_head = head; seen_away = away
#define FORGET		seen_owner = 0; seen_head = 0; seen_away = UP

/* krr_lock_promote() */
inline promote(ticket_of)
{
	d_step { name = slot[ticket_of]; flag = sleeper[ticket_of] };
	if
	:: name ->
		d_step {
			assert(head == NOBODY || head == name);
			head = name;
			if
			:: flag -> away = WAKING
			:: else
			fi
		};
		if
		:: flag && MUTANT != MUTANT_PROMOTE_SILENT -> name--; wake(name)
		:: else
		fi
	:: else
	fi;
	d_step { name = 0; flag = false }
}

/* krr_lock_sleep(), krr_lock_doze() */
inline sleep(doze)
{
#ifdef SYSTEM
	/* The doorbell is a device access: it takes the BQL and drops it to sleep. */
	if
	:: id != DEVICES -> BQL_LOCK; BQL_UNLOCK
	:: else
	fi;
#endif
	if
	:: atomic { wakeup[id] -> wakeup[id] = false }
#ifdef EARLY
	:: true
#endif
#ifdef TIMER
	:: doze && !giving
#endif
#if defined(SYSTEM) && MUTANT != MUTANT_DEAF
	:: id != DEVICES && stop
#endif
	fi;
	STOP_POINT
}

/* krr_lock_wake() */
inline wake(who)
{
#ifdef SYSTEM
	if
	:: id != DEVICES -> STOP_POINT; BQL_LOCK; wakeup[who] = true; BQL_UNLOCK
	:: else -> wakeup[who] = true
	fi
#elif MUTANT == MUTANT_WAKE_IS_LOST
	wakeup[who] = true; wakeup[who] = false
#else
	wakeup[who] = true
#endif
}

proctype participant(byte id)
{
	byte seen_owner, seen_head, ticket, name, g, rounds;
	byte seen_away;
	bool flag, due, rouse;

user:
	STOP_POINT;
	if
#ifdef FIRST
	:: finished -> goto done
	:: !finished && ROUNDS == 0
#else
	:: ROUNDS == 0
#endif
	:: ROUNDS != 0 && rounds < ROUNDS -> rounds++
	:: ROUNDS != 0 && rounds == ROUNDS -> rounds = 0; goto done
	fi;

#if defined(SYSTEM) && MUTANT == MUTANT_BQL_FIRST
	if
	:: id == DEVICES -> BQL_LOCK
	:: else
	fi;
#endif

take:	/* krr_lock_try() */
	atomic {
		if
		:: owner == NOBODY && head == NOBODY && away == UP ->
			owner = NAME(id);
			ghost_owner(id);
			goto own
		:: else ->
			SEE_WORD;
			if
			:: seen_owner != NOBODY -> goto queue
			:: else
			fi
		fi
	};
	atomic {
		if
#if MUTANT == MUTANT_BARGE_BLIND
		:: true ->
#else
		:: WORD_IS_SEEN ->
#endif
			owner = NAME(id);
			FORGET;
			ghost_owner(id)
		:: else -> goto queue
		fi
	};
#if MUTANT == MUTANT_UNBOUNDED && defined(PROGRESS)
	bypassed = 1;
#else
	bypassed++;
	assert(bypassed <= BYPASS);
#endif
	goto own;

queue:	/* krr_lock_queue() */
	atomic {
		FORGET;
		ticket = next;
		next = (next + 1) % QUEUE;
		ghost_queue(id)
	};
	d_step { assert(slot[ticket] == 0 && !sleeper[ticket]); slot[ticket] = NAME(id) };
look:
	STOP_POINT;
	atomic {
		SEE_WORD;
		if
		:: seen_owner == NAME(id) -> ghost_complete(id); goto granted
		:: else
		fi
	};
#ifdef OVER
	if
	:: over -> goto done
	:: else
	fi;
#endif
	if
	:: seen_head == NAME(id) && seen_away != UP ->
		atomic {
			assert(head == NAME(id) || away == UP);
			away = UP;
			ghost_complete(id)
		}
	:: seen_head == NAME(id) && seen_away == UP ->
		atomic { ghost_complete(id) };
		/* krr_lock_head_look() */
		if
		:: seen_owner == NOBODY ->
			atomic {
				if
				:: WORD_IS_SEEN ->
					owner = NAME(id);
					head = NOBODY;
					ghost_owner(id);
					goto granted
				:: else
				fi
			}
#ifdef PROGRESS
		:: else
#else
		:: true
#endif
		fi
	:: else ->
		atomic {
			if
#if MUTANT == MUTANT_NO_PROMOTION
			:: false
#else
			:: serving == ticket
#endif
			:: else -> ghost_complete(id); goto patience
			fi
		};
		/* krr_lock_step_forward() */
#if MUTANT == MUTANT_STEP_CAN_FAIL
		atomic {
			if
			:: WORD_IS_SEEN -> assert(head == NOBODY); head = NAME(id); ghost_complete(id)
			:: else
			fi
		}
#else
		atomic {
			assert(head == NOBODY || head == NAME(id));
			head = NAME(id);
			ghost_complete(id)
		};
		if
		:: owner == NAME(id) && MUTANT != MUTANT_STEP_BLIND ->
			d_step { assert(head == NAME(id) || head == NOBODY); head = NOBODY }
		:: else
		fi
#endif
	fi;
patience:
#ifdef AWAKE
	FORGET; goto look;
#else
	if
	:: FORGET; goto look
	:: true
	fi;
#endif
	if
	:: seen_head == NAME(id) ->
		/* krr_lock_sleep_as_head() */
		atomic {
			if
			:: seen_owner != NOBODY && (WORD_IS_SEEN || MUTANT == MUTANT_DOZE_BLIND) ->
				away = ASLEEP; FORGET
			:: else -> FORGET; goto look
			fi
		};
		sleep(true)
	:: else ->
		/* krr_lock_sleep_in_queue() */
		d_step { FORGET; sleeper[ticket] = (MUTANT != MUTANT_SLEEP_BLIND) };
		if
		:: serving != ticket || MUTANT == MUTANT_NO_SECOND_LOOK -> sleep(false)
		:: else
		fi;
		sleeper[ticket] = false
	fi;
	goto look;
granted:
	atomic { FORGET; slot[ticket] = 0 };
	bypassed = 0;
	d_step { ticket = (ticket + 1) % QUEUE; serving = ticket };
	promote(ticket);
	ticket = 0;

own:
	atomic { inside++; assert(inside == 1 && owner == NAME(id)) };
#ifdef FIRST
	if
	:: id == 0 -> finished = true
	:: else
	fi;
#endif
#ifdef SYSTEM
	STOP_POINT;
	if
	:: id == DEVICES ->
#if MUTANT != MUTANT_BQL_FIRST
		BQL_LOCK;
#endif
		skip;
		BQL_UNLOCK
	:: id != DEVICES -> BQL_LOCK; BQL_UNLOCK	/* a device access */
	:: id != DEVICES
	fi;
	STOP_POINT;
#endif

	/* krr_lock_ready(), at a safepoint */
	if
	:: atomic { away == ASLEEP -> away = WAKING; name = head - 1 };
		wake(name);
		name = 0
	:: true
	fi;

	/* krr_lock_give(): at the end of an entry, or at a safepoint and on */
	if
	:: due = false
	:: due = true
	fi;
	if
	:: rouse = true
#ifdef TIMER
	:: rouse = false
#endif
	fi;
	d_step { inside--; assert(inside == 0); SEE_WORD; GIVING(true) };
	do
	::
		if
		:: seen_head == NOBODY -> name = NOBODY
		:: seen_head != NOBODY && (due || LIMIT) -> name = seen_head
		:: seen_head != NOBODY && !due && !(LIMIT) -> name = NOBODY
		:: seen_head != NOBODY && seen_away == UP -> name = seen_head
		fi;
		flag = seen_away == ASLEEP && (name != NOBODY || rouse);
		atomic {
			if
			:: WORD_IS_SEEN ->
				owner = name;
				if
				:: name != NOBODY -> head = NOBODY; away = UP; ghost_owner(name - 1)
				:: name == NOBODY && flag -> away = WAKING
				:: else
				fi;
				name = 0;
				GIVING(false);
				break
			:: else -> SEE_WORD
			fi
		}
	od;
	if
	:: flag && MUTANT != MUTANT_RELEASE_BLIND ->
		name = seen_head - 1;
		wake(name)
	:: else
	fi;
	atomic { name = 0; due = false; rouse = false; flag = false; FORGET; goto user };

done:
#ifdef SYSTEM
	/* A vCPU in user mode, or halted, stops as others do. */
	if
	:: id != DEVICES ->
end:		do
		:: stop -> STOP_POINT
		od
	:: else
	fi
#else
	skip
#endif
}

#ifdef OVER
active proctype ender()
{
	byte i;

	over = true;
#if MUTANT != MUTANT_SILENT_END
	for (i : 0 .. N - 1) {
		wakeup[i] = true
	}
#endif
}
#endif

#ifdef SYSTEM
active proctype monitor()
{
	BQL_LOCK;
	stop = true;
	BQL_UNLOCK;
	/* pause_all_vcpus() */
	stopped[0] && (N < 3 || stopped[1]);
	BQL_LOCK;
	stop = false;
	BQL_UNLOCK
}
#endif

init
{
	byte i;

	atomic {
		for (i : 0 .. N - 1) {
			run participant(i)
		}
	}
}
