/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "sites.h"
#include "vmlinux.h"
#include "../error.h"
#include "../kinds.h"

#define CALL        0xe8        /* call rel32 */
#define CALL_LENGTH 5
#define NOP_LENGTH  8

/* A section with code. */
typedef struct Code {
    uint64_t address;
    size_t length;
    uint8_t *bytes;
    bool boot;
} Code;

static void free_code(gpointer data)
{
    Code *code = data;

    g_free(code->bytes);
    g_free(code);
}

static void add_code(void *opaque, const VmlinuxSection *section)
{
    const GElf_Shdr *header = &section->header;
    Code *code;

    if (!section->data || !section->data->d_size || header->sh_type != SHT_PROGBITS ||
        !(header->sh_flags & SHF_EXECINSTR)) {
        return;
    }
    code = g_new0(Code, 1);
    code->address = header->sh_addr;
    code->length = section->data->d_size;
    code->bytes = g_malloc(code->length);
    memcpy(code->bytes, section->data->d_buf, code->length);
    code->boot = g_str_has_prefix(section->name, ".init.") ||
                 g_str_has_prefix(section->name, ".exit.");
    g_ptr_array_add(opaque, code);
}

/* The hook whose thunk is at @address, or -1: a thunk begins with the magic NOP. */
static int hook_at(const GPtrArray *codes, uint64_t address)
{
    static const uint8_t nop[] = { 0x0f, 0x1f, 0x84, 0x00 };

    for (guint i = 0; i < codes->len; i++) {
        const Code *code = codes->pdata[i];
        uint64_t offset = address - code->address;
        uint32_t number;

        if (offset < code->length && code->length - offset >= NOP_LENGTH) {
            memcpy(&number, code->bytes + offset + sizeof(nop), sizeof(number));
            number = GUINT32_FROM_LE(number);
            return !memcmp(code->bytes + offset, nop, sizeof(nop)) &&
                   (number & ~0xffu) == KRR_NOP_MAGIC ? (int)(number & 0xff) : -1;
        }
    }
    return -1;
}

/*
 * Nothing tells where instructions begin. But that five bytes which are no call look like
 * one of exactly a thunk's first byte happens in one of some thousand kernels.
 */
static void find_sites(Sites *sites, const GPtrArray *codes, const Code *code)
{
    const uint8_t *end = code->bytes + code->length, *p = code->bytes;

    while ((p = memchr(p, CALL, end - p)) && end - p >= CALL_LENGTH) {
        Site site = { code->address + (p - code->bytes) + CALL_LENGTH, 0, code->boot };
        int32_t distance;
        int hook;

        memcpy(&distance, p + 1, sizeof(distance));
        hook = hook_at(codes, site.address + GINT32_FROM_LE(distance));
        if (hook >= 0) {
            site.hook = hook;
            g_array_append_val(sites->table, site);
        }
        p++;
    }
}

static gint by_address(gconstpointer a, gconstpointer b)
{
    const Site *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

Sites *sites_read(const char *vmlinux, GError **errp)
{
    GPtrArray *codes = g_ptr_array_new_with_free_func(free_code);
    Sites *sites = g_new0(Sites, 1);
    bool good = vmlinux_sections(vmlinux, add_code, codes, errp);

    sites->table = g_array_new(FALSE, FALSE, sizeof(Site));
    sites->start = UINT64_MAX;
    for (guint i = 0; good && i < codes->len; i++) {
        const Code *code = codes->pdata[i];

        find_sites(sites, codes, code);
        sites->start = MIN(sites->start, code->address);
        sites->end = MAX(sites->end, code->address + code->length);
    }
    g_ptr_array_free(codes, TRUE);
    if (good && !sites->table->len) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT,
                    "%s: has no hook of the KRR recorder (CONFIG_KRR_GUEST=y)", vmlinux);
        good = false;
    }
    if (!good) {
        sites_free(sites);
        return NULL;
    }
    g_array_sort(sites->table, by_address);
    return sites;
}

void sites_free(Sites *sites)
{
    if (sites) {
        g_array_free(sites->table, TRUE);
        g_free(sites);
    }
}

unsigned sites_count(const Sites *sites)
{
    return sites->table->len;
}

const Site *sites_get(const Sites *sites, unsigned index)
{
    return &g_array_index(sites->table, Site, index);
}

int sites_find(const Sites *sites, uint64_t address)
{
    const Site wanted = { .address = address };
    guint index;

    return g_array_binary_search(sites->table, &wanted, by_address, &index) ? (int)index : -1;
}

const char *site_hook_name(uint8_t hook)
{
    switch (hook) {
    case KRR_HOOK_SAFEPOINT:
        return "safepoint";
    case KRR_HOOK_ENTRY:
        return "entry";
    case KRR_HOOK_RELEASE:
        return "release";
    case KRR_HOOK_ACQUIRE:
        return "acquire";
    default:
        return krr_kind_name(hook);
    }
}

bool site_writes(uint8_t hook, uint8_t kind)
{
    switch (hook) {
    case KRR_HOOK_SAFEPOINT:
        return kind == KRR_KIND_HANDOFF || kind == KRR_KIND_RESUME;
    case KRR_HOOK_ENTRY:
        return kind == KRR_KIND_ENTRY || kind == KRR_KIND_INTERRUPT ||
               kind == KRR_KIND_WAKE || kind == KRR_KIND_EXCEPTION;
    case KRR_HOOK_ACQUIRE:
        return kind == KRR_KIND_RESUME;
    default:
        return kind == hook;
    }
}

bool site_always_writes(uint8_t hook)
{
    return hook != KRR_HOOK_SAFEPOINT && hook != KRR_HOOK_RELEASE && hook != KRR_HOOK_ACQUIRE;
}
