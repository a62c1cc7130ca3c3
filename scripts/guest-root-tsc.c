/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the frequency of this machine's time stamp counter in kHz, for the guest's
 * tsc_early_khz=. A guest that measures it against emulated timers may fail, and would then fall
 * back to slow clocks and counted delay loops. KVM and QEMU's emulator both let the counter run
 * at the host's frequency.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static uint64_t nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Reads both clocks; repeats when something came in between, which shows as a long reading. */
static void read_clocks(uint64_t *tsc, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 20; i++) {
        uint64_t before = __rdtsc(), now = nanoseconds(), after = __rdtsc();

        if (after - before < best) {
            best = after - before;
            *tsc = before + best / 2;
            *ns = now;
        }
    }
}

int main(void)
{
    uint64_t tsc[2], ns[2];
    struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };

    read_clocks(&tsc[0], &ns[0]);
    nanosleep(&pause, NULL);
    read_clocks(&tsc[1], &ns[1]);
    printf("%.0f\n", (double)(tsc[1] - tsc[0]) * 1e6 / (double)(ns[1] - ns[0]));
    return 0;
}
