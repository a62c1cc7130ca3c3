/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <linux/krr.h>

#include "machine.h"

#define PHYS_BITS_MAX 52

static const char *check_strings(const KrrMachine *m)
{
    if (!memchr(m->vendor, 0, sizeof(m->vendor)) ||
        !memchr(m->kernel_release, 0, sizeof(m->kernel_release)) ||
        !memchr(m->qemu_version, 0, sizeof(m->qemu_version))) {
        return "text without an end";
    }
    return NULL;
}

static int overlap(const KrrRange *a, const KrrRange *b)
{
    return a->address < b->address + b->length && b->address < a->address + a->length;
}

static const char *check_ranges(const KrrMachine *m)
{
    const uint64_t limit = 1ull << PHYS_BITS_MAX;

    for (uint32_t i = 0; i < m->ranges_count; i++) {
        const KrrRange *r = &m->ranges[i];

        if (!r->length || r->address % KRR_PAGE || r->length % KRR_PAGE) {
            return "memory range that is not whole pages";
        }
        if (r->address >= limit || r->length > limit - r->address) {
            return "memory range beyond the physical address space";
        }
        for (uint32_t j = 0; j < i; j++) {
            if (overlap(r, &m->ranges[j])) {
                return "memory ranges that overlap";
            }
        }
    }
    for (uint32_t i = 0; i < m->silent_count; i++) {
        const KrrSilent *s = &m->silent[i];

        if (!s->length || s->address >= limit || s->space > KRR_SPACE_PORT ||
            (s->space == KRR_SPACE_PORT && s->address + s->length > 0x10000)) {
            return "impossible silent range";
        }
    }
    return NULL;
}

const char *krr_machine_check(const KrrMachine *m)
{
    const char *what;

    if (m->vcpus < 1 || m->vcpus > KRR_MAX_VCPUS) {
        return "impossible number of vCPUs";
    }
    if (m->features_count > KRR_MACHINE_FEATURES || m->ranges_count > KRR_MACHINE_RANGES ||
        m->silent_count > KRR_MACHINE_SILENT) {
        return "more features or ranges than the format has";
    }
    if (m->phys_bits < 32 || m->phys_bits > PHYS_BITS_MAX) {
        return "impossible number of physical address bits";
    }
    if (m->shared_address % KRR_PAGE || m->shared_length % KRR_PAGE ||
        m->shared_length > KRR_RING_MAX * 4ull ||
        m->shared_address > (1ull << PHYS_BITS_MAX) - m->shared_length) {
        return "impossible place of the shared memory";
    }
    if (m->pio_base > 0x10000 - KRR_PIO_SIZE) {
        return "impossible doorbell port";
    }
    what = check_strings(m);
    return what ? what : check_ranges(m);
}

const char *krr_cpu_check(const KrrCpuState *cpu)
{
    return cpu->xsave_length <= KRR_XSAVE_SIZE ? NULL : "FPU state is too long";
}
