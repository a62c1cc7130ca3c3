/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel-entry lock as the guest compiles it, used by more threads than there are
 * CPUs. Its limits are small here, so that all paths are run; which ones were is
 * counted and checked. Also built with the thread sanitizer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/krr.h>

#define THREADS         6
#define BYPASS          3U
#ifndef TAKES
#define TAKES           10000   /* by each thread, at least */
#endif
#define TIME_LIMIT      100     /* seconds for all */

#define KRR_LOCK_CODE           static inline
#define KRR_LOCK_PATIENCE       20000U          /* nanoseconds here */
#define KRR_LOCK_SPIN           4000U
#define KRR_LOCK_LOOKS          4U
#define KRR_LOCK_FREE_LOOKS     4U
#define DOZE                    50000           /* nanoseconds */
#ifndef KRR_LOCK_BYPASS
#define KRR_LOCK_BYPASS         BYPASS
#endif

typedef enum Path {
    FAST, BARGED, TAKEN_BY_HEAD, GRANTED, HEAD_DOZE, QUEUE_SLEEP, WAKE, HEAD_AWAY, PATHS
} Path;

static const char *const path_names[PATHS] = {
    "nobody waits", "past the head", "free, taken by the head", "given to the head",
    "the head dozes", "sleep in the queue", "wake", "the head is away at a safepoint",
};

/* What a thread does with the lock, for the others' count. */
typedef enum Phase { AWAY, ENTERING, QUEUED } Phase;

typedef struct krr_lock_user {
    uint32_t id;
    Phase phase;                /* atomic */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
    /* of one take: */
    bool counting;
    uint64_t start;             /* the count when all before it had queued */
    /* of all: */
    uint64_t paths[PATHS];
    uint64_t most;              /* slices of others it waited for at most */
    uint64_t random;
} User;

static struct krr_lock the_lock;
static pthread_barrier_t all_there;     /* for many_entries() */
static User users[THREADS];
static __thread User *self;
static bool over;               /* atomic */
static uint64_t slices;         /* atomic; written by the owner */
static uint64_t plain;          /* not atomic, that is the point */
static uint32_t owner;          /* the same */

static inline bool krr_lock_over(User *user)
{
    (void)user;
    return __atomic_load_n(&over, __ATOMIC_SEQ_CST);
}

static void krr_lock_sleep(User *user)
{
    user->paths[QUEUE_SLEEP]++;
    pthread_mutex_lock(&user->mutex);
    while (!user->woken) {
        pthread_cond_wait(&user->cond, &user->mutex);
    }
    user->woken = false;
    pthread_mutex_unlock(&user->mutex);
}

static void krr_lock_doze(User *user)
{
    struct timespec until;

    user->paths[HEAD_DOZE]++;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += DOZE;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&user->mutex);
    while (!user->woken &&
           pthread_cond_timedwait(&user->cond, &user->mutex, &until) == 0) {
    }
    user->woken = false;
    pthread_mutex_unlock(&user->mutex);
}

static void wake(uint32_t id)
{
    pthread_mutex_lock(&users[id].mutex);
    users[id].woken = true;
    pthread_cond_signal(&users[id].cond);
    pthread_mutex_unlock(&users[id].mutex);
}

static void krr_lock_wake(User *user, uint32_t id)
{
    user->paths[WAKE]++;
    wake(id);
}

static __u64 krr_lock_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
}

/*
 * Comes after a look, so this thread has queued. Once no thread is on its way into
 * the queue the bound holds: who comes later is behind this one.
 */
static void krr_lock_pause(void)
{
    __atomic_store_n(&self->phase, QUEUED, __ATOMIC_SEQ_CST);
    if (!self->counting) {
        self->counting = true;
        for (unsigned i = 0; i < THREADS; i++) {
            if (__atomic_load_n(&users[i].phase, __ATOMIC_SEQ_CST) == ENTERING) {
                self->counting = false;
            }
        }
        self->start = __atomic_load_n(&slices, __ATOMIC_SEQ_CST);
    }
    __builtin_ia32_pause();
}

#include <linux/krr-lock.h>

static uint32_t random_below(User *user, uint32_t limit)
{
    user->random = user->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(user->random >> 33) % limit;
}

/* Which way did the owner get the lock? As krr_lock_take() said. */
static Path path_of(bool waited, uint64_t given)
{
    if (waited) {
        return given ? GRANTED : TAKEN_BY_HEAD;
    }
    return __atomic_load_n(&the_lock.bypassed, __ATOMIC_RELAXED) ? BARGED : FAST;
}

/* assert_*() of cmocka are for its own thread only. */
static void check(bool good, const char *what)
{
    if (!good) {
        print_error("%s\n", what);
        abort();
    }
}

static void count_slices(User *user)
{
    uint64_t now = __atomic_load_n(&slices, __ATOMIC_SEQ_CST);

    if (user->counting) {
        uint64_t passed = now - user->start;

        /* An owner counts its slice a moment after it got the lock: one more. */
        check(passed <= THREADS * (BYPASS + 1) + 1, "passed too often");
        user->most = passed > user->most ? passed : user->most;
    }
    __atomic_store_n(&slices, now + 1, __ATOMIC_SEQ_CST);
}

static bool take(User *user)
{
    __u64 given;
    bool waited;
    Path path;

    user->counting = false;
    __atomic_store_n(&user->phase, ENTERING, __ATOMIC_SEQ_CST);
    if (!krr_lock_take(&the_lock, user, user->id, &waited, &given)) {
        __atomic_store_n(&user->phase, AWAY, __ATOMIC_SEQ_CST);
        return false;
    }
    check(waited || !given, "given to somebody who did not wait");
    path = path_of(waited, given);
    __atomic_store_n(&user->phase, AWAY, __ATOMIC_SEQ_CST);
    check(owner == 0, "somebody else owns the lock");
    owner = user->id + 1;
    user->paths[path]++;
    count_slices(user);
    return true;
}

static void work(User *user)
{
    unsigned rounds = random_below(user, 8);

    for (unsigned i = 0; i <= rounds; i++) {
        plain++;
        check(owner == user->id + 1, "somebody else came in");
    }
    plain -= rounds;
    if (random_below(user, 64) == 0) {
        sched_yield();
    }
    the_lock.previous = user->id;
    owner = 0;
}

/* At a safepoint, where the owner waits for others or not. */
static bool hand_over(User *user)
{
    if (!krr_lock_wanted(&the_lock)) {
        return false;
    }
    if (random_below(user, 2) && !krr_lock_ready(&the_lock, user)) {
        user->paths[HEAD_AWAY]++;
        return false;
    }
    krr_lock_hand_over(&the_lock, user);
    return true;
}

/* An entry into the kernel, with hand-overs at safepoints. True: all were done. */
static bool enter(User *user, uint64_t *takes)
{
    do {
        if (!take(user)) {
            return false;
        }
        ++*takes;
        work(user);
        if (random_below(user, 4) || !hand_over(user)) {
            krr_lock_release(&the_lock, user, random_below(user, 2));
            return true;
        }
    } while (true);
}

static void *many_entries(void *opaque)
{
    uint64_t takes = 0;

    self = opaque;
    /* Else the first could be done before the last exists, and nobody ever wait. */
    pthread_barrier_wait(&all_there);
    while (takes < TAKES) {
        check(enter(self, &takes), "it is not over");
        if (random_below(self, 256) == 0) {
            const struct timespec user_mode = { 0, 20000 };

            nanosleep(&user_mode, NULL);
        }
    }
    return (void *)(uintptr_t)takes;
}

static int set_up(void **state)
{
    (void)state;
    memset(&the_lock, 0, sizeof(the_lock));
    memset(users, 0, sizeof(users));
    over = false;
    slices = plain = owner = 0;
    pthread_barrier_init(&all_there, NULL, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        users[i].id = i;
        users[i].random = i + 1;
        pthread_mutex_init(&users[i].mutex, NULL);
        pthread_cond_init(&users[i].cond, NULL);
    }
    alarm(TIME_LIMIT);          /* a thread that never gets on */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    alarm(0);
    pthread_barrier_destroy(&all_there);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_cond_destroy(&users[i].cond);
        pthread_mutex_destroy(&users[i].mutex);
    }
    return 0;
}

static void start(pthread_t *threads, unsigned first, void *(*code)(void *))
{
    for (unsigned i = first; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, code, &users[i]), 0);
    }
}

static uint64_t join(const pthread_t *threads, unsigned first)
{
    uint64_t sum = 0;

    for (unsigned i = first; i < THREADS; i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        sum += (uintptr_t)result;
    }
    return sum;
}

static void test_many(void **state)
{
    pthread_t threads[THREADS];
    uint64_t takes;

    (void)state;
    start(threads, 0, many_entries);
    takes = join(threads, 0);
    assert_int_equal(plain, takes);
    assert_int_equal(slices, takes);
    assert_int_equal(the_lock.word, 0);
    assert_int_equal(the_lock.next, the_lock.serving);
    for (unsigned path = 0; path < PATHS; path++) {
        uint64_t times = 0;

        for (unsigned i = 0; i < THREADS; i++) {
            times += users[i].paths[path];
        }
        print_message("# %s: %llu\n", path_names[path], (unsigned long long)times);
        assert_int_not_equal(times, 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        print_message("# thread %u waited for %llu slices at most\n", i,
                      (unsigned long long)users[i].most);
    }
}

/* Tickets count on past 2^32, in the middle of it all. */
static void test_wrap(void **state)
{
    the_lock.next = the_lock.serving = 0U - 1000;
    test_many(state);
    assert_in_range(the_lock.next, 1, 0x7fffffff);
}

static void *wait_for_ever(void *opaque)
{
    self = opaque;
    return (void *)(uintptr_t)take(self);
}

static bool all_sleep(void)
{
    for (unsigned i = 1; i < THREADS; i++) {
        uint32_t word = __atomic_load_n(&the_lock.word, __ATOMIC_SEQ_CST);
        bool head = KRR_LOCK_HEAD(word) == i + 1 && word & KRR_LOCK_ASLEEP;
        bool queued = false;

        for (unsigned place = 0; place < KRR_LOCK_QUEUE; place++) {
            uint32_t name = __atomic_load_n(&the_lock.queue[place], __ATOMIC_SEQ_CST);

            queued = queued || name == ((i + 1) | KRR_LOCK_SLEEPER);
        }
        if (!head && !queued) {
            return false;
        }
    }
    return true;
}

/* The recording ends while one owns the lock and all others wait for it. */
static void test_over(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    self = &users[0];
    assert_true(take(self));
    start(threads, 1, wait_for_ever);
    while (!all_sleep()) {
        sched_yield();
    }
    __atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 1; i < THREADS; i++) {
        wake(i);
    }
    assert_int_equal(join(threads, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_over, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
