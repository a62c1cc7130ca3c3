/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes 100 MB into a tmpfs file, copies it within the kernel, reads and compares the copy. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/sendfile.h>

#include "check.h"

#define BLOCK 65536
#define BLOCKS 1600

static void fill(uint64_t *block, uint64_t number)
{
    for (size_t i = 0; i < BLOCK / sizeof(*block); i++) {
        block[i] = (number << 32) + i / 8;
    }
}

static int create(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0);
    return fd;
}

int main(void)
{
    static uint64_t block[BLOCK / 8], expected[BLOCK / 8];
    int from = create("/tmp/original"), to = create("/tmp/copy");
    off_t offset = 0;

    for (int i = 0; i < BLOCKS; i++) {
        fill(block, i);
        CHECK(write(from, block, BLOCK) == BLOCK);
    }
    while (offset < (off_t)BLOCK * BLOCKS) {
        CHECK(sendfile(to, from, &offset, (size_t)BLOCK * BLOCKS - offset) > 0);
    }
    CHECK(lseek(to, 0, SEEK_SET) == 0);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(read(to, block, BLOCK) == BLOCK);
        fill(expected, i);
        CHECK(memcmp(block, expected, BLOCK) == 0);
    }
    CHECK(unlink("/tmp/original") == 0 && unlink("/tmp/copy") == 0);
    printf("tmpfs_copy: %d bytes\n", BLOCK * BLOCKS);
    return 0;
}
