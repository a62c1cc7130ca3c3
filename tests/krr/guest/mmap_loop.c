/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmap, munmap, mprotect, mremap and madvise in a loop, with fork in between for copy-on-write. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "check.h"

#define PAGE 4096
#define PAGES 64
#define ROUNDS 60

static void touch(char *area, int pages, int value)
{
    for (int i = 0; i < pages; i++) {
        area[i * PAGE + value] = value;
    }
}

static void one_round(int round)
{
    int flags = MAP_ANONYMOUS | (round % 3 ? MAP_PRIVATE : MAP_SHARED);
    int value = round % 100 + 1;
    char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);

    CHECK(area != MAP_FAILED);
    touch(area, PAGES, value);
    if (round % 10 == 0) {
        pid_t pid = check_fork();

        if (pid == 0) {
            touch(area, PAGES, value);
            area[0] = 99;
            _exit(0);
        }
        check_wait(pid, 0);
        CHECK(area[0] == ((flags & MAP_SHARED) ? 99 : 0));
    }
    CHECK(mprotect(area, PAGES * PAGE / 2, PROT_READ) == 0);
    CHECK(area[value] == value);
    CHECK(mprotect(area, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(madvise(area, PAGES * PAGE / 4, MADV_DONTNEED) == 0);
    CHECK(area[value] == ((flags & MAP_SHARED) ? value : 0));
    CHECK(madvise(area, PAGES * PAGE, MADV_SEQUENTIAL) == 0);
    CHECK(munmap(area + 8 * PAGE, 8 * PAGE) == 0);
    CHECK(mincore(area + 8 * PAGE, PAGE, (unsigned char[1]){ 0 }) < 0 && errno == ENOMEM);
    if (!(flags & MAP_SHARED)) {
        char *moved = mremap(area + 16 * PAGE, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);

        CHECK(moved != MAP_FAILED);
        CHECK(moved[value] == value);
        touch(moved, 32, value);
        CHECK(munmap(moved, 32 * PAGE) == 0);
    }
    CHECK(munmap(area, PAGES * PAGE) == 0);
}

int main(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        one_round(i);
    }
    printf("mmap_loop: %d rounds\n", ROUNDS);
    return 0;
}
