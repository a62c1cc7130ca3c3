/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a program through a shared file mapping and executes it, as linkers do. The kernel reads
 * the ELF header from page cache that only user space has written.
 */
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "check.h"

#define BASE 0x400000ul

/* mov $60,%eax; mov $STATUS,%edi; syscall */
static const uint8_t code[] = { 0xb8, 60, 0, 0, 0, 0xbf, 0, 0, 0, 0, 0x0f, 0x05 };

struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    uint8_t text[sizeof(code)];
};

static void fill(struct program *p, uint8_t status)
{
    p->header = (Elf64_Ehdr){
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = BASE + offsetof(struct program, text),
        .e_phoff = offsetof(struct program, segment),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 1,
    };
    p->segment = (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = PF_R | PF_X,
        .p_vaddr = BASE,
        .p_paddr = BASE,
        .p_filesz = sizeof(*p),
        .p_memsz = sizeof(*p),
        .p_align = 4096,
    };
    memcpy(p->text, code, sizeof(code));
    p->text[6] = status;
}

static void link_and_run(const char *path, uint8_t status)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0755);
    struct program *p;
    pid_t pid;

    CHECK(fd >= 0 && ftruncate(fd, sizeof(*p)) == 0);
    p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    fill(p, status);
    CHECK(munmap(p, sizeof(*p)) == 0 && close(fd) == 0);
    pid = check_fork();
    if (pid == 0) {
        execl(path, path, NULL);
        _exit(255);
    }
    check_wait(pid, status);
    CHECK(unlink(path) == 0);
}

/* A script written through a mapping: its first line is read by the kernel too. */
static void write_and_run_script(const char *path)
{
    static const char text[] = "#!/bin/sh\nexit 33\n";
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0755);
    char *p;
    pid_t pid;

    CHECK(fd >= 0 && ftruncate(fd, sizeof(text) - 1) == 0);
    p = mmap(NULL, sizeof(text), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memcpy(p, text, sizeof(text) - 1);
    CHECK(munmap(p, sizeof(text)) == 0 && close(fd) == 0);
    pid = check_fork();
    if (pid == 0) {
        execl(path, path, NULL);
        _exit(255);
    }
    check_wait(pid, 33);
    CHECK(unlink(path) == 0);
}

int main(void)
{
    for (int i = 1; i <= 20; i++) {
        link_and_run("/tmp/linked", i);
    }
    write_and_run_script("/tmp/script");
    printf("mapped_exec: 21 programs\n");
    return 0;
}
