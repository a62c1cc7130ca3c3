/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same as user_pages, for what needs a disk: a command's data, a journal, a mapped device.
 * Arguments: the part to run, and its file.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>

#include "check.h"

#define PAGE        4096
#define SECTOR      512
#define BLOCK       1024        /* of the file system of the tests */
#define CHANGES     30

static uint8_t *page_of(int fd, int flags)
{
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

/* Has a device run a command with a page of ours for data, which is not copied for its size. */
static void run_command(int fd, uint8_t *command, unsigned length, int direction, void *data)
{
    struct sg_io_hdr request = {
        .interface_id = 'S',
        .dxfer_direction = direction,
        .cmd_len = length,
        .dxfer_len = SECTOR,
        .dxferp = data,
        .cmdp = command,
        .timeout = 10000,
    };

    CHECK(ioctl(fd, SG_IO, &request) == 0);
    CHECK(request.status == 0 && request.host_status == 0);
}

/* Changes whether the disk caches writes: a bit in a page that the kernel takes apart. */
static void mode_select(const char *path)
{
    enum { PAGE_CODE = 8, LENGTH = 4 + 20, WRITE_CACHE = 4 };
    uint8_t sense[] = { 0x1a, 8, PAGE_CODE, 0, LENGTH, 0 };
    uint8_t select[] = { 0x15, 0x10, 0, 0, LENGTH, 0 };
    uint8_t *data = page_of(-1, MAP_PRIVATE | MAP_ANONYMOUS), before;
    int fd = open(path, O_RDWR);

    CHECK(fd >= 0);
    run_command(fd, sense, sizeof(sense), SG_DXFER_FROM_DEV, data);
    CHECK((data[4] & 0x3f) == PAGE_CODE);
    before = data[6] & WRITE_CACHE;
    memset(data, 0, 4);
    data[6] ^= WRITE_CACHE;
    run_command(fd, select, sizeof(select), SG_DXFER_TO_DEV, data);
    run_command(fd, sense, sizeof(sense), SG_DXFER_FROM_DEV, data);
    CHECK((data[6] & WRITE_CACHE) != before);
    CHECK(close(fd) == 0);
}

/* Writes a sector by ATA's own command, through the data port. */
static void port_write(const char *path)
{
    enum { SECTOR_NUMBER = 40000 };
    uint8_t command[16] = {
        [0] = 0x85, [1] = 5 << 1, [2] = 6, [6] = 1, [8] = SECTOR_NUMBER & 0xff,
        [10] = SECTOR_NUMBER >> 8, [13] = 0x40, [14] = 0x30,
    };
    uint8_t *data = page_of(-1, MAP_PRIVATE | MAP_ANONYMOUS), got[SECTOR];
    int fd = open(path, O_RDWR);

    CHECK(fd >= 0);
    memset(data, 0x5a, SECTOR);
    run_command(fd, command, sizeof(command), SG_DXFER_TO_DEV, data);
    CHECK(pread(fd, got, SECTOR, SECTOR_NUMBER * SECTOR) == SECTOR && !memcmp(got, data, SECTOR));
    CHECK(close(fd) == 0);
}

/* What a journal's own blocks begin with: others that do so are changed in the journal. */
static const uint8_t magic[] = { 0xc0, 0x3b, 0x39, 0x98 };

static void write_journal(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t *p;

    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    p = page_of(fd, MAP_SHARED);
    memset(p, 0x5a, PAGE);
    for (int block = 0; block < PAGE; block += 2 * BLOCK) {
        memcpy(p + block, magic, sizeof(magic));
    }
    CHECK(munmap(p, PAGE) == 0 && fsync(fd) == 0 && close(fd) == 0);
}

static void read_journal(const char *path)
{
    uint8_t got[PAGE], odd[4] = { 0x5a, 0x5a, 0x5a, 0x5a };
    int fd = open(path, O_RDONLY);

    CHECK(fd >= 0 && read(fd, got, PAGE) == PAGE && close(fd) == 0);
    for (int block = 0; block < PAGE; block += BLOCK) {
        CHECK(!memcmp(got + block, block % (2 * BLOCK) ? odd : magic, 4));
    }
}

/* Blocks are changed while the journal still has to write them: it keeps copies of what they were. */
static void change_journal(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    static uint8_t data[64 * PAGE];
    pid_t pid;

    CHECK(fd >= 0);
    pid = check_fork();
    if (pid == 0) {
        for (int turn = 0; turn < CHANGES; turn++) {
            CHECK(fsync(fd) == 0);
        }
        _exit(0);
    }
    for (int turn = 0; turn < CHANGES; turn++) {
        memset(data, turn, sizeof(data));
        CHECK(pwrite(fd, data, sizeof(data), 0) == sizeof(data));
        for (int last = 0; last < CHANGES; last++) {
            CHECK(pwrite(fd, data, BLOCK, sizeof(data) - BLOCK) == BLOCK);
        }
    }
    check_wait(pid, 0);
    CHECK(close(fd) == 0);
}

/* A file system is mounted whose first blocks have come from a mapped file, without a copy by a program;
 * the kernel reads them from where they went to. */
static void splice_device(const char *path)
{
    int held = open(path, O_RDONLY), fd = open(path, O_RDWR);
    int file = open("/tmp/blocks", O_RDWR | O_CREAT | O_TRUNC, 0600), size = BLOCK;
    static uint8_t blocks[PAGE];
    off_t start = 0;

    CHECK(held >= 0 && fd >= 0 && file >= 0 && ftruncate(file, PAGE) == 0);
    CHECK(ioctl(fd, BLKBSZSET, &size) == 0);
    CHECK(pread(fd, blocks, PAGE, 0) == PAGE);
    memcpy(page_of(file, MAP_SHARED), blocks, PAGE);
    CHECK(sendfile(fd, file, &start, PAGE) == PAGE);
    CHECK(close(fd) == 0 && close(file) == 0);
    CHECK(mount(path, "/mnt", "ext4", MS_RDONLY, NULL) == 0 && umount("/mnt") == 0);
    CHECK(close(held) == 0);
}

/* The kernel reads a device's pages by itself, so nobody may write them by a mapping. */
static void map_device(const char *path)
{
    int fd = open(path, O_RDWR);

    CHECK(fd >= 0);
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK(errno == EOPNOTSUPP);
    CHECK(munmap(page_of(fd, MAP_PRIVATE), PAGE) == 0 && close(fd) == 0);
}

static const struct {
    const char *name;
    void (*run)(const char *path);
} parts[] = {
    { "mode_select", mode_select }, { "port_write", port_write },
    { "write_journal", write_journal }, { "read_journal", read_journal },
    { "change_journal", change_journal }, { "splice_device", splice_device },
    { "map_device", map_device },
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!strcmp(parts[i].name, argv[1])) {
            parts[i].run(argv[2]);
            printf("device_pages: %s\n", argv[1]);
            return 0;
        }
    }
    fprintf(stderr, "device_pages: there is no part %s\n", argv[1]);
    return 1;
}
