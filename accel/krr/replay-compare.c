/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The final-RAM oracle: guest memory at the end of a recording (final-ram=on) against
 * that of the replay. Only what no replay can have equal is left out: user pages, free pages, saved
 * FPU registers, dead stack, and the flags that the architecture leaves undefined. The guest itself says
 * where those are (struct krr_memory).
 */
#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "exec/cpu-common.h"
#include "hw/core/cpu.h"
#include "accel/krr/replay.h"

#define MEMORY_MAX       (1u << 20)
#define LINES_MAX       40      /* of differences printed */
#define KERNEL_IMAGE    (64u << 20)

/* Memory of some classes: spans in ascending order that do not touch, to be found quickly. */
typedef struct Span {
    uint64_t start, end;
} Span;

typedef struct Comparison {
    CPUState *cpu;
    struct krr_memory *memory;    /* host copy; NULL: the guest gave none */
    uint64_t memory_count;
    GArray *skipped, *stacks;   /* Span */
    uint64_t pages_different;   /* with at least one difference that counts */
    uint64_t words_different;
    uint64_t pages_masked;      /* different, but only where it does not count */
} Comparison;

static bool is_skipped(uint32_t class)
{
    return class == KRR_MEMORY_FREE || class == KRR_MEMORY_USER ||
           class == KRR_MEMORY_DEAD_STACK || class == KRR_MEMORY_FPU;
}

static bool is_stack(uint32_t class)
{
    return class == KRR_MEMORY_STACK;
}

static int compare_starts(gconstpointer a, gconstpointer b)
{
    uint64_t start_a = ((const Span *)a)->start, start_b = ((const Span *)b)->start;

    return (start_a > start_b) - (start_a < start_b);
}

/* What @c->memory has of @wanted classes. The caller frees it. */
static GArray *collect(const Comparison *c, bool (*wanted)(uint32_t class))
{
    GArray *spans = g_array_new(false, false, sizeof(Span));
    guint used = 0;

    for (uint64_t i = 0; i < c->memory_count; i++) {
        const struct krr_memory *memory = &c->memory[i];
        Span span = { memory->address, memory->address + memory->length };

        if (wanted(memory->class) && span.start < span.end) {
            g_array_append_val(spans, span);
        }
    }
    g_array_sort(spans, compare_starts);
    for (guint i = 0; i < spans->len; i++) {
        Span span = g_array_index(spans, Span, i);
        Span *last = used ? &g_array_index(spans, Span, used - 1) : NULL;

        if (last && span.start <= last->end) {
            last->end = MAX(last->end, span.end);
        } else {
            g_array_index(spans, Span, used++) = span;
        }
    }
    return g_array_set_size(spans, used);
}

static int compare_place(gconstpointer span, gconstpointer address)
{
    const Span *s = span;
    uint64_t a = *(const uint64_t *)address;

    return s->end <= a ? -1 : s->start > a;
}

static bool is_among(GArray *spans, uint64_t address)
{
    return g_array_binary_search(spans, &address, compare_place, NULL);
}

static const struct krr_memory *find_slab(const Comparison *c, uint64_t address)
{
    for (uint64_t i = 0; i < c->memory_count; i++) {
        const struct krr_memory *memory = &c->memory[i];

        if (memory->class == KRR_MEMORY_SLAB && address >= memory->address &&
            address - memory->address < memory->length) {
            return memory;
        }
    }
    return NULL;
}

/* Kernel virtual address of an address in the kernel's image, else 0. */
static uint64_t image_address(const Comparison *c, uint64_t address)
{
    uint64_t text = krr_replay->machine->kernel_text;

    for (uint64_t offset = 0; text && offset < KERNEL_IMAGE; offset += KRR_PAGE) {
        if (cpu_get_phys_page_debug(c->cpu, text + offset) ==
            (address & ~(uint64_t)(KRR_PAGE - 1))) {
            return text + offset + (address & (KRR_PAGE - 1));
        }
    }
    return 0;
}

static char *describe_place(const Comparison *c, uint64_t address)
{
    const struct krr_memory *slab = find_slab(c, address);
    uint64_t image;
    char name[64] = "";

    if (slab) {
        g_autofree char *printable = NULL;

        cpu_memory_rw_debug(c->cpu, slab->name, name, sizeof(name) - 1, false);
        printable = g_strescape(name, NULL);
        return g_strdup_printf("slab %s +0x%" PRIx64, printable,
                               (uint64_t)(address - slab->address));
    }
    image = image_address(c, address);
    if (image) {
        return g_strdup_printf("kernel image, 0x%" PRIx64, image);
    }
    return g_strdup(is_among(c->stacks, address) ? "kernel stack" : "other kernel memory");
}

static bool word_counts(const Comparison *c, uint64_t address, uint64_t recorded,
                        uint64_t replayed)
{
    if (is_among(c->skipped, address)) {
        return false;
    }
    return (recorded ^ replayed) & ~(uint64_t)KRR_FLAGS_MASK ||
           !is_among(c->stacks, address);
}

static void compare_page(Comparison *c, uint64_t address, const uint8_t *recorded,
                         const uint8_t *replayed)
{
    bool counts = false;

    if (!memcmp(recorded, replayed, KRR_PAGE)) {
        return;
    }
    for (unsigned i = 0; i < KRR_PAGE; i += 8) {
        uint64_t a = ldq_le_p(recorded + i), b = ldq_le_p(replayed + i);

        if (a == b || !word_counts(c, address + i, a, b)) {
            continue;
        }
        counts = true;
        if (c->words_different++ < LINES_MAX) {
            g_autofree char *place = describe_place(c, address + i);

            error_report("krr: final RAM differs at 0x%" PRIx64 " (%s): recorded 0x%016" PRIx64
                         ", replayed 0x%016" PRIx64, address + i, place, a, b);
        }
    }
    if (counts) {
        c->pages_different++;
    } else {
        c->pages_masked++;
    }
}

typedef struct RangeCursor {
    Comparison *comparison;
    unsigned long *seen[KRR_MACHINE_RANGES];    /* by page */
} RangeCursor;

static void compare_piece(uint32_t i, uint64_t offset, const void *data, size_t length,
                          void *opaque)
{
    RangeCursor *cursor = opaque;
    const uint8_t *host = krr_replay_range_host(i);

    for (size_t done = 0; done < length; done += KRR_PAGE) {
        set_bit((offset + done) / KRR_PAGE, cursor->seen[i]);
        compare_page(cursor->comparison, krr_replay->machine->ranges[i].address + offset + done,
                     (const uint8_t *)data + done, host + offset + done);
    }
}

static bool compare_run(uint64_t address, const void *data, size_t length, void *opaque,
                        GError **errp)
{
    return krr_replay_each_piece(address, data, length, compare_piece, opaque, errp);
}

/* Pages that the trace does not have were zero. */
static void compare_zero_pages(RangeCursor *cursor)
{
    static const uint8_t zeroes[KRR_PAGE];
    const KrrMachine *machine = krr_replay->machine;

    for (uint32_t i = 0; i < machine->ranges_count; i++) {
        const uint8_t *host = krr_replay_range_host(i);

        for (uint64_t page = 0; page < machine->ranges[i].length / KRR_PAGE; page++) {
            const uint8_t *replayed = host + page * KRR_PAGE;

            if (!test_bit(page, cursor->seen[i]) && !buffer_is_zero(replayed, KRR_PAGE)) {
                compare_page(cursor->comparison,
                             machine->ranges[i].address + page * KRR_PAGE,
                             zeroes, replayed);
            }
        }
    }
}

static bool load_memory(Comparison *c, uint64_t address, uint64_t count)
{
    if (!address || !count || count > MEMORY_MAX) {
        return false;
    }
    c->memory = g_new(struct krr_memory, count);
    c->memory_count = count;
    return cpu_memory_rw_debug(c->cpu, address, c->memory, count * sizeof(*c->memory),
                               false) == 0;
}

bool krr_replay_compare_ram(CPUState *cpu, uint64_t memory, uint64_t count)
{
    const KrrMachine *machine = krr_replay->machine;
    Comparison c = { .cpu = cpu };
    RangeCursor cursor = { .comparison = &c };
    GError *gerr = NULL;
    bool read;

    if (!load_memory(&c, memory, count)) {
        error_report("krr: the guest gave no description of its memory: "
                     "user pages and dead stack are compared too");
        c.memory_count = 0;
    }
    c.skipped = collect(&c, is_skipped);
    c.stacks = collect(&c, is_stack);
    for (uint32_t i = 0; i < machine->ranges_count; i++) {
        cursor.seen[i] = bitmap_new(machine->ranges[i].length / KRR_PAGE);
    }
    read = krr_reader_ram(krr_replay->reader, true, compare_run, &cursor, &gerr);
    if (read) {
        compare_zero_pages(&cursor);
        fprintf(stderr, "krr: final RAM: %" PRIu64 " words in %" PRIu64 " pages differ; "
                "%" PRIu64 " pages differ only where no replay can be equal\n",
                c.words_different, c.pages_different, c.pages_masked);
    } else {
        error_report("krr: final RAM: %s", gerr->message);
        g_error_free(gerr);
    }
    for (uint32_t i = 0; i < machine->ranges_count; i++) {
        g_free(cursor.seen[i]);
    }
    g_array_unref(c.skipped);
    g_array_unref(c.stacks);
    g_free(c.memory);
    return read && c.words_different == 0;
}
