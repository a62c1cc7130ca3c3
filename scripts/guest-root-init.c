/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * First process of a guest that krr-vm starts.
 *
 * Reads what to do from the files that krr-vm packs beside it in /.krr/, prepares the root file
 * system, starts the recording, runs one command, stops the recording and powers off:
 *
 *   nonce    one word that makes the marker lines unique
 *   command  the command's arguments, each ended by a NUL
 *   record   exists: record the command
 *   root     exists: block device that holds the root file system
 *   boot     exists: leave all of that to the init of this root file system. It finds this folder
 *            in /run/krr, and in system/ units for systemd, one of which runs the command by
 *            `/run/krr/init command`
 *
 * krr-vm takes the console output apart at the marker lines, so everything written before a
 * marker is drained to the UART before the state changes: output that is still in the driver's
 * buffer would otherwise fall on the wrong side.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define RECORD_FILE "/sys/kernel/krr/record"
#define MAX_ARGUMENTS 4096
#define MAX_COMMAND (1 << 20)
#define DISK_SECONDS 30
#define STEPS_PER_SECOND 100

static char nonce[64] = "unknown";

/* Prints one line and waits until its last byte has reached the UART. */
static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vdprintf(STDOUT_FILENO, format, arguments);
    va_end(arguments);
    tcdrain(STDOUT_FILENO);
}

static void __attribute__((noreturn)) power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    say("krr-vm: power-off failed: %s\n", strerror(errno));
    for (;;) {
        pause();
    }
}

/* Reports what cannot be done, for krr-vm to find, and ends the guest. */
static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    say("krr-vm: failed %s %s\n", nonce, text);
    power_off();
}

static void mount_one(const char *source, const char *target, const char *type,
                      const char *options)
{
    mkdir(target, 0755);
    if (mount(source, target, type, 0, options) < 0 && errno != EBUSY) {
        say("krr-vm: cannot mount %s on %s: %s\n", type, target, strerror(errno));
    }
}

static void mount_kernel_filesystems(void)
{
    mount_one("proc", "/proc", "proc", NULL);
    mount_one("sysfs", "/sys", "sysfs", NULL);
    mount_one("dev", "/dev", "devtmpfs", NULL);
    mount_one("devpts", "/dev/pts", "devpts", "mode=620,ptmxmode=666");
    mount_one("shm", "/dev/shm", "tmpfs", NULL);
    mount_one("tmp", "/tmp", "tmpfs", NULL);
    mount_one("run", "/run", "tmpfs", NULL);
}

/* The first mount of /dev may come too late for the kernel to have opened a console. */
static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    if (fd < 0) {
        return;
    }
    for (int i = 0; i <= STDERR_FILENO; i++) {
        dup2(fd, i);
    }
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

/* Returns the file's content with a NUL added, or NULL if there is none; *length without it. */
static char *read_file(const char *path, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buffer;
    size_t used = 0;
    ssize_t got;

    if (fd < 0) {
        return NULL;
    }
    buffer = malloc(MAX_COMMAND + 1);
    if (!buffer) {
        fail("no memory to read %s", path);
    }
    while ((got = read(fd, buffer + used, MAX_COMMAND - used)) > 0) {
        used += got;
    }
    if (got < 0 || used == MAX_COMMAND) {
        fail("cannot read %s: %s", path, got < 0 ? strerror(errno) : "it is too long");
    }
    close(fd);
    buffer[used] = '\0';
    *length = used;
    return buffer;
}

static void read_nonce(const char *path)
{
    size_t length;
    char *text = read_file(path, &length);

    if (text) {
        snprintf(nonce, sizeof(nonce), "%s", text);
    }
}

static char **read_command(const char *path)
{
    static char *arguments[MAX_ARGUMENTS + 1];
    size_t length, count = 0;
    char *text = read_file(path, &length);

    if (!text || !length || text[length - 1] != '\0') {
        fail("%s is missing or damaged", path);
    }
    for (char *p = text; p < text + length; p += strlen(p) + 1) {
        if (count == MAX_ARGUMENTS) {
            fail("the command has more than %d arguments", MAX_ARGUMENTS);
        }
        arguments[count++] = p;
    }
    return arguments;
}

/* Waits until a disk is there, which the kernel looks for beside what else it does. */
static void wait_for(const char *device)
{
    const struct timespec step = { .tv_nsec = 1000000000 / STEPS_PER_SECOND };

    for (int i = 0; i < DISK_SECONDS * STEPS_PER_SECOND && access(device, F_OK) < 0; i++) {
        nanosleep(&step, NULL);
    }
    if (access(device, F_OK) < 0) {
        fail("the root file system's disk %s is not there: %s", device, strerror(errno));
    }
}

/* Makes the file system on a block device the root. */
static void enter_root(const char *device)
{
    static const char *const types[] = { "ext4", "ext3", "ext2", "squashfs", "xfs", "btrfs" };
    bool mounted = false;

    mkdir("/.krr/newroot", 0755);
    wait_for(device);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types) && !mounted; i++) {
        mounted = mount(device, "/.krr/newroot", types[i], 0, NULL) == 0;
    }
    if (!mounted) {
        fail("no file system that this kernel knows on %s", device);
    }
    if (chdir("/.krr/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
        chroot(".") < 0 || chdir("/") < 0) {
        fail("cannot make %s the root file system: %s", device, strerror(errno));
    }
    mount_kernel_filesystems();
}

/* Shows the folder, or a folder in it, at target; what is there as well is hidden. */
static void bind_folder(int folder, const char *name, const char *target)
{
    char source[64];

    snprintf(source, sizeof(source), "/proc/self/fd/%d/%s", folder, name);
    if (mount(source, target, NULL, MS_BIND, NULL) < 0) {
        fail("cannot mount /.krr/%s on %s: %s", name, target, strerror(errno));
    }
}

/* Becomes the init of the file system on a block device. */
static void __attribute__((noreturn)) boot_root(const char *device)
{
    int folder = open("/.krr", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool units = access("/.krr/system", F_OK) == 0;

    enter_root(device);
    mkdir("/run/krr", 0755);
    bind_folder(folder, "", "/run/krr");
    if (units) {
        mkdir("/run/systemd", 0755);
        mkdir("/run/systemd/system", 0755);
        bind_folder(folder, "system", "/run/systemd/system");
    }
    say("\nkrr-vm: boot %s\n", nonce);
    execl("/sbin/init", "/sbin/init", NULL);
    fail("cannot execute /sbin/init of %s: %s", device, strerror(errno));
}

static void loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return;
    }
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

static void control_recording(const char *text)
{
    int fd = open(RECORD_FILE, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        fail("cannot open %s: %s (is this kernel built with CONFIG_KRR_GUEST, booted with krr=on, "
             "and has the machine the krr device?)", RECORD_FILE, strerror(errno));
    }
    if (write(fd, text, strlen(text)) < 0) {
        fail("writing \"%s\" to %s: %s (the kernel's messages say why)", text, RECORD_FILE,
             strerror(errno));
    }
    close(fd);
}

static void __attribute__((noreturn)) run_child(char **arguments)
{
    int fd = open("/dev/null", O_RDONLY);

    setsid();
    if (fd > 0) {
        dup2(fd, STDIN_FILENO);
        close(fd);
    }
    execvp(arguments[0], arguments);
    dprintf(STDERR_FILENO, "krr-vm: cannot execute %s: %s\n", arguments[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

/* Runs the command and returns its exit status as a shell would. */
static int run(char **arguments)
{
    pid_t child = fork();
    int status = 0;

    if (child < 0) {
        fail("cannot fork: %s", strerror(errno));
    }
    if (child == 0) {
        run_child(arguments);
    }
    for (;;) {
        pid_t pid = wait(&status);

        if (pid == child && (WIFEXITED(status) || WIFSIGNALED(status))) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (pid < 0 && errno != EINTR) {
            fail("lost the command: %s", strerror(errno));
        }
    }
}

/* Where the command finds itself, whoever starts it. */
static void prepare_environment(void)
{
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("TERM", "dumb", 1);
    if (chdir("/root") < 0 && chdir("/") < 0) {
        fail("cannot enter /: %s", strerror(errno));
    }
}

/* In a system that has booted by its own init: its console is ours, the recording is not. */
static int run_as_service(void)
{
    char **arguments;
    int status;

    read_nonce("/run/krr/nonce");
    arguments = read_command("/run/krr/command");
    prepare_environment();
    say("\nkrr-vm: begin %s\n", nonce);
    status = run(arguments);
    say("\nkrr-vm: end %s %d\n", nonce, status);
    return 0;
}

/* All that the guest does; the command is recorded if that is wanted. */
static void __attribute__((noreturn)) run_as_init(void)
{
    bool record = access("/.krr/record", F_OK) == 0;
    char **arguments, *root, stop[32];
    size_t length;
    int status;

    mount_kernel_filesystems();
    open_console();
    read_nonce("/.krr/nonce");
    root = read_file("/.krr/root", &length);
    if (root && access("/.krr/boot", F_OK) == 0) {
        boot_root(root);
    }
    arguments = read_command("/.krr/command");
    if (root) {
        enter_root(root);
    }
    sethostname("krr", 3);
    loopback_up();
    prepare_environment();

    say("\nkrr-vm: begin %s\n", nonce);
    if (record) {
        control_recording("1");
    }
    status = run(arguments);
    tcdrain(STDOUT_FILENO);
    if (record) {
        snprintf(stop, sizeof(stop), "0 %d", status);
        control_recording(stop);
    }
    say("\nkrr-vm: end %s %d\n", nonce, status);
    power_off();
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "command") == 0) {
        return run_as_service();
    }
    run_as_init();
}
