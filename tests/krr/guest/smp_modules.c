/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A module is loaded, used and unloaded again and again while other CPUs use it if they can, list
 * the modules and do other work. Arguments: the module flip_key.ko, rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>

#include "smp.h"

static const char *module;
static int rounds;
static atomic_int loading;

static int is_loaded(void)
{
    char text[4096];
    int fd = open("/proc/modules", O_RDONLY);
    ssize_t got;

    CHECK(fd >= 0);
    got = read(fd, text, sizeof(text) - 1);
    CHECK(got >= 0 && close(fd) == 0);
    text[got] = '\0';
    return strstr(text, "flip_key ") != NULL;
}

static void load(void)
{
    int fd = open(module, O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK(syscall(SYS_finit_module, fd, "", 0) == 0);
    CHECK(close(fd) == 0);
    CHECK(is_loaded());
}

/* Somebody may be using it. */
static void unload(void)
{
    while (syscall(SYS_delete_module, "flip_key", O_NONBLOCK) < 0) {
        CHECK(errno == EWOULDBLOCK || errno == EBUSY);
        sched_yield();
    }
    CHECK(!is_loaded());
}

static void use(void)
{
    char text[8];
    int fd = open("/proc/krr_flip_key", O_RDWR | O_CLOEXEC);
    ssize_t got;

    if (fd < 0) {
        CHECK(errno == ENOENT);
        return;
    }
    /* EIO, or nothing: it is on its way out. */
    got = read(fd, text, sizeof(text));
    CHECK(got == 2 || got == 0 || (got < 0 && errno == EIO));
    CHECK(close(fd) == 0);
}

static void body(int number)
{
    if (number == 0) {
        for (int i = 0; i < rounds; i++) {
            load();
            use();
            unload();
        }
        atomic_store(&loading, 0);
    } else {
        while (atomic_load(&loading)) {
            pid_t pid;

            use();
            is_loaded();
            pid = check_fork();
            if (pid == 0) {
                _exit(0);
            }
            check_wait(pid, 0);
        }
    }
}

int main(int argc, char **argv)
{
    CHECK(argc > 1);
    module = argv[1];
    rounds = smp_argument(argc, argv, 2, 5);
    smp_init();
    atomic_store(&loading, 1);
    smp_threads(smp_partners(), body);
    printf("smp_modules: %d rounds\n", rounds);
    return 0;
}
