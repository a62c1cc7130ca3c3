/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file system whose server is a process: its answers are memory of user space that the kernel
 * reads by addresses of its own. Names, links, sizes and contents come by write and by splice.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "check.h"

#define MOUNT       "/tmp/fuse"
#define PAGE        4096
#define FILE_SIZE   (2 * PAGE + 100)
#define REQUEST     (64 << 10)

enum { ROOT = FUSE_ROOT_ID, WRITTEN, SPLICED, LINK, NODES };

static const struct {
    const char *name;
    uint32_t mode, type;
    uint64_t size;
} nodes[NODES] = {
    [ROOT] = { ".", S_IFDIR | 0755, DT_DIR, 0 },
    [WRITTEN] = { "written", S_IFREG | 0644, DT_REG, FILE_SIZE },
    [SPLICED] = { "spliced", S_IFREG | 0644, DT_REG, FILE_SIZE },
    [LINK] = { "link", S_IFLNK | 0777, DT_LNK, 7 },
};

static uint8_t content(uint64_t node, uint64_t offset)
{
    return node + offset % 251;
}

/* ---- server ---- */

static int device;

/* Answers by a pipe, whose pages are the server's own. */
static void splice_answer(const struct iovec *parts, size_t length)
{
    int ends[2];

    CHECK(pipe(ends) == 0);
    CHECK(vmsplice(ends[1], parts, 2, 0) == (ssize_t)length);
    CHECK(splice(ends[0], NULL, device, NULL, length, 0) == (ssize_t)length);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* Nobody waits for these answers: the file system may be gone before they come. */
static int is_release(const struct fuse_in_header *request)
{
    return request->opcode == FUSE_RELEASE || request->opcode == FUSE_RELEASEDIR;
}

static void answer(const struct fuse_in_header *request, int error, const void *data, size_t size)
{
    struct fuse_out_header header = {
        .len = sizeof(header) + size,
        .error = error,
        .unique = request->unique,
    };
    struct iovec parts[] = { { &header, sizeof(header) }, { (void *)data, size } };

    if (request->opcode == FUSE_READ && request->nodeid == SPLICED) {
        splice_answer(parts, header.len);
    } else {
        ssize_t written = writev(device, parts, size ? 2 : 1);

        CHECK(written == (ssize_t)header.len ||
              (written < 0 && errno == ENOENT && is_release(request)));
    }
}

static struct fuse_attr attributes(uint64_t node)
{
    return (struct fuse_attr){
        .ino = node, .size = nodes[node].size, .mode = nodes[node].mode, .nlink = 1,
        .blksize = PAGE,
    };
}

static void init(const struct fuse_in_header *request, const struct fuse_init_in *in)
{
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = in->max_readahead,
        .max_write = PAGE,
    };

    answer(request, 0, &out, sizeof(out));
}

static void look_up(const struct fuse_in_header *request, const char *name)
{
    uint64_t node = WRITTEN;
    struct fuse_entry_out out;

    while (node < NODES && strcmp(name, nodes[node].name)) {
        node++;
    }
    if (node == NODES) {
        answer(request, -ENOENT, NULL, 0);
        return;
    }
    out = (struct fuse_entry_out){ .nodeid = node, .attr = attributes(node) };
    answer(request, 0, &out, sizeof(out));
}

static void get_attributes(const struct fuse_in_header *request)
{
    struct fuse_attr_out out = { .attr = attributes(request->nodeid) };

    answer(request, 0, &out, sizeof(out));
}

static void open_node(const struct fuse_in_header *request)
{
    struct fuse_open_out out = { .fh = 0 };

    answer(request, 0, &out, sizeof(out));
}

static void read_node(const struct fuse_in_header *request, const struct fuse_read_in *in)
{
    static uint8_t data[REQUEST];
    uint64_t size = 0;

    while (size < in->size && in->offset + size < FILE_SIZE) {
        data[size] = content(request->nodeid, in->offset + size);
        size++;
    }
    answer(request, 0, data, size);
}

static void list(const struct fuse_in_header *request, const struct fuse_read_in *in)
{
    static _Alignas(8) uint8_t data[PAGE];
    size_t size = 0;

    memset(data, 0, sizeof(data));
    for (uint64_t node = in->offset ? in->offset + 1 : WRITTEN; node < NODES; node++) {
        struct fuse_dirent *entry = (struct fuse_dirent *)(data + size);

        entry->ino = node;
        entry->off = node;
        entry->type = nodes[node].type;
        entry->namelen = strlen(nodes[node].name);
        memcpy(entry->name, nodes[node].name, entry->namelen);
        size += FUSE_DIRENT_SIZE(entry);
    }
    answer(request, 0, data, size);
}

static void write_node(const struct fuse_in_header *request, const struct fuse_write_in *in)
{
    struct fuse_write_out out = { .size = in->size };

    CHECK(!memcmp(in + 1, "told", 4));
    answer(request, 0, &out, sizeof(out));
}

static void serve(const struct fuse_in_header *request)
{
    const void *in = request + 1;

    switch (request->opcode) {
    case FUSE_INIT:
        init(request, in);
        break;
    case FUSE_LOOKUP:
        look_up(request, in);
        break;
    case FUSE_GETATTR:
        get_attributes(request);
        break;
    case FUSE_READLINK:
        answer(request, 0, nodes[WRITTEN].name, nodes[LINK].size);
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        open_node(request);
        break;
    case FUSE_READ:
        read_node(request, in);
        break;
    case FUSE_READDIR:
        list(request, in);
        break;
    case FUSE_WRITE:
        write_node(request, in);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        answer(request, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        answer(request, -ENOSYS, NULL, 0);
        break;
    }
}

/* Until the file system is unmounted. */
static void run_server(void)
{
    static _Alignas(8) uint8_t buffer[REQUEST];

    while (read(device, buffer, sizeof(buffer)) > 0) {
        serve((const struct fuse_in_header *)buffer);
    }
    CHECK(errno == ENODEV);
}

/* ---- client ---- */

static void check_file(const char *path, int node)
{
    static uint8_t data[FILE_SIZE + 1];
    int fd = open(path, O_RDONLY);

    CHECK(fd >= 0 && read(fd, data, sizeof(data)) == FILE_SIZE && close(fd) == 0);
    for (int i = 0; i < FILE_SIZE; i++) {
        CHECK(data[i] == content(node, i));
    }
}

static void check_folder(void)
{
    struct dirent *entry;
    DIR *folder = opendir(MOUNT);
    int found = 0;

    CHECK(folder);
    while ((entry = readdir(folder))) {
        CHECK(entry->d_ino > ROOT && entry->d_ino < NODES);
        CHECK(!strcmp(entry->d_name, nodes[entry->d_ino].name));
        found++;
    }
    CHECK(found == NODES - WRITTEN && closedir(folder) == 0);
}

static void check_link(void)
{
    char target[64] = "";

    CHECK(readlink(MOUNT "/link", target, sizeof(target)) == 7 && !strcmp(target, "written"));
    check_file(MOUNT "/link", WRITTEN);
}

static void tell(void)
{
    int fd = open(MOUNT "/written", O_WRONLY);

    CHECK(fd >= 0 && write(fd, "told", 4) == 4 && close(fd) == 0);
}

int main(void)
{
    char options[100];
    pid_t server;

    device = open("/dev/fuse", O_RDWR);
    CHECK(device >= 0 && mkdir(MOUNT, 0755) == 0);
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
    CHECK(mount("fuse", MOUNT, "fuse", 0, options) == 0);
    server = check_fork();
    if (server == 0) {
        run_server();
        _exit(0);
    }
    CHECK(close(device) == 0);
    check_folder();
    check_link();
    check_file(MOUNT "/written", WRITTEN);
    check_file(MOUNT "/spliced", SPLICED);
    CHECK(access(MOUNT "/missing", F_OK) < 0 && errno == ENOENT);
    tell();
    CHECK(umount(MOUNT) == 0);
    check_wait(server, 0);
    CHECK(rmdir(MOUNT) == 0);
    printf("fuse_server: %d files\n", NODES - WRITTEN);
    return 0;
}
