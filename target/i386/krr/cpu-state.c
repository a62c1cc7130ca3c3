/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "cpu.h"
#include "cpu-internal.h"
#include <linux/kvm.h>
#include "exec/cputlb.h"
#include "hw/core/cpu.h"
#include "hw/i386/apic.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "system/tcg.h"
#include "cpu-state.h"
#include "krr-cpu.h"

#define XSAVE_LEGACY_SIZE   576     /* legacy area and header */
#define XSAVE_YMM_SIZE      832
#define XCR0_KNOWN          (XSTATE_FP_MASK | XSTATE_SSE_MASK | XSTATE_YMM_MASK)

/* ---- segments ---- */

static const int seg_index[] = {
    [KRR_SEG_ES] = R_ES, [KRR_SEG_CS] = R_CS, [KRR_SEG_SS] = R_SS,
    [KRR_SEG_DS] = R_DS, [KRR_SEG_FS] = R_FS, [KRR_SEG_GS] = R_GS,
};

static SegmentCache *segment(CPUX86State *env, int seg)
{
    switch (seg) {
    case KRR_SEG_LDT:
        return &env->ldt;
    case KRR_SEG_TR:
        return &env->tr;
    case KRR_SEG_GDT:
        return &env->gdt;
    case KRR_SEG_IDT:
        return &env->idt;
    default:
        return &env->segs[seg_index[seg]];
    }
}

static void save_segments(CPUX86State *env, KrrCpuState *state)
{
    for (int i = 0; i < KRR_SEG_COUNT; i++) {
        const SegmentCache *from = segment(env, i);

        state->segment[i] = (KrrSegment) {
            .base = from->base,
            .limit = from->limit,
            .flags = from->flags,
            .selector = from->selector,
        };
    }
}

static void load_segments(CPUX86State *env, const KrrCpuState *state)
{
    for (int i = 0; i < KRR_SEG_COUNT; i++) {
        const KrrSegment *from = &state->segment[i];

        *segment(env, i) = (SegmentCache) {
            .base = from->base,
            .limit = from->limit,
            .flags = from->flags,
            .selector = from->selector,
        };
    }
    /* A CPU does not look at the limit of a table that is not there, as after LLDT 0; the emulator does. */
    if (!(env->ldt.flags & DESC_P_MASK)) {
        env->ldt.base = 0;
        env->ldt.limit = 0;
    }
}

/* ---- save ---- */

/* What is on its way into the vCPU is not in its registers. */
static const char *pending_event(CPUX86State *env)
{
    if (env->exception_pending || env->exception_injected) {
        return "an exception is being delivered";
    }
    if (env->interrupt_injected != -1 || env->soft_interrupt) {
        return "an interrupt is being delivered";
    }
    if (env->nmi_injected || env->nmi_pending) {
        return "a non-maskable interrupt is pending";
    }
    if (env->hflags & HF_INHIBIT_IRQ_MASK) {
        return "an interrupt shadow is open";
    }
    if (env->hflags & (HF_SMM_MASK | HF_GUEST_MASK)) {
        return "it is in system management mode or runs a nested guest";
    }
    return NULL;
}

static const char *wrong_mode(uint64_t cr0, uint64_t cr4, uint64_t efer, uint64_t rflags,
                              uint32_t cs_flags, uint32_t ss_flags, uint64_t xcr0)
{
    if (!(cr0 & CR0_PE_MASK) || !(cr0 & CR0_PG_MASK) || !(cr4 & CR4_PAE_MASK) ||
        !(efer & MSR_EFER_LMA) || !(cs_flags & DESC_L_MASK) || (rflags & VM_MASK)) {
        return "it does not execute 64-bit code";
    }
    if ((ss_flags >> DESC_DPL_SHIFT) & 3) {
        return "it is not in kernel mode";
    }
    if (cr4 & (CR4_PCIDE_MASK | CR4_LA57_MASK | CR4_PKE_MASK | CR4_PKS_MASK |
               CR4_VMXE_MASK)) {
        return "CR4 enables what TCG cannot replay (PCID, LA57, protection keys, VMX)";
    }
    if (xcr0 & ~(uint64_t)XCR0_KNOWN) {
        return "XCR0 enables extended state that TCG does not have";
    }
    return NULL;
}

bool krr_cpu_state_save(CPUState *cs, KrrCpuState *state, Error **errp)
{
    X86CPU *cpu = X86_CPU(cs);
    CPUX86State *env = &cpu->env;
    uint8_t xsave[KRR_XSAVE_SIZE];
    const char *obstacle;

    cpu_synchronize_state(cs);
    obstacle = pending_event(env);
    if (!obstacle) {
        obstacle = wrong_mode(env->cr[0], env->cr[4], env->efer, env->eflags,
                              env->segs[R_CS].flags, env->segs[R_SS].flags, env->xcr0);
    }
    if (obstacle) {
        error_setg(errp, "the state of vCPU %d cannot be saved at RIP 0x%" PRIx64 ": %s",
                   cs->cpu_index, (uint64_t)env->eip, obstacle);
        return false;
    }

    memset(state, 0, sizeof(*state));
    memcpy(state->gpr, env->regs, sizeof(state->gpr));
    state->rip = env->eip;
    state->rflags = env->eflags;
    save_segments(env, state);
    state->cr0 = env->cr[0];
    state->cr2 = env->cr[2];
    state->cr3 = env->cr[3];
    state->cr4 = env->cr[4];
    state->cr8 = cpu_get_apic_tpr(cpu->apic_state);
    state->xcr0 = env->xcr0;
    memcpy(state->dr, env->dr, sizeof(state->dr));
    state->efer = env->efer;
    state->star = env->star;
    state->lstar = env->lstar;
    state->cstar = env->cstar;
    state->fmask = env->fmask;
    state->kernel_gs_base = env->kernelgsbase;
    state->sysenter_cs = env->sysenter_cs;
    state->sysenter_esp = env->sysenter_esp;
    state->sysenter_eip = env->sysenter_eip;
    state->pat = env->pat;
    state->tsc_aux = env->tsc_aux;
    state->misc_enable = env->msr_ia32_misc_enable;
    state->apic_base = cpu_get_apic_base(cpu->apic_state);
    state->spec_ctrl = env->spec_ctrl;
    state->apic_id = cpu->apic_id;
    state->pkru = env->pkru;

    x86_cpu_xsave_all_areas(cpu, xsave, sizeof(xsave));
    state->xsave_length = env->xcr0 & XSTATE_YMM_MASK ? XSAVE_YMM_SIZE
                                                      : XSAVE_LEGACY_SIZE;
    memcpy(state->xsave, xsave, state->xsave_length);
    return true;
}

/* ---- load ---- */

/* hflags cache control registers and segments; what KVM leaves in them is not
 * what TCG would have computed. */
static void recompute_hflags(CPUX86State *env)
{
    env->hflags = 0;
    env->hflags2 = HF2_GIF_MASK | HF2_VGIF_MASK;
    cpu_load_efer(env, env->efer);
    cpu_x86_update_cr0(env, env->cr[0]);
    cpu_x86_update_cr4(env, env->cr[4]);
    x86_update_hflags(env);
    cpu_sync_bndcs_hflags(env);
    cpu_sync_avx_hflag(env);
}

static void load_debug_registers(CPUState *cs, const KrrCpuState *state)
{
    CPUX86State *env = cpu_env(cs);

    memcpy(env->dr, state->dr, sizeof(env->dr));
    cpu_breakpoint_remove_all(cs, BP_CPU);
    cpu_watchpoint_remove_all(cs, BP_CPU);
    /* As if all were off, so that the update arms those that are on. */
    env->dr[7] = state->dr[7] & ~(uint64_t)(DR7_GLOBAL_BP_MASK | DR7_LOCAL_BP_MASK);
    cpu_x86_update_dr7(env, state->dr[7]);
}

/* The vCPU is in the middle of nothing. */
static void clear_pending(CPUState *cs)
{
    CPUX86State *env = cpu_env(cs);

    cs->interrupt_request = 0;
    cs->exception_index = -1;
    cs->halted = 0;
    env->old_exception = -1;
    env->interrupt_injected = -1;
    env->exception_nr = -1;
    env->exception_pending = 0;
    env->exception_injected = 0;
    env->nmi_injected = 0;
    env->nmi_pending = 0;
    env->a20_mask = -1;
}

bool krr_cpu_state_load(CPUState *cs, const KrrCpuState *state, Error **errp)
{
    X86CPU *cpu = X86_CPU(cs);
    CPUX86State *env = &cpu->env;
    uint64_t image[KRR_XSAVE_SIZE / 8] = { 0 };
    const char *obstacle;

    obstacle = wrong_mode(state->cr0, state->cr4, state->efer, state->rflags,
                          state->segment[KRR_SEG_CS].flags,
                          state->segment[KRR_SEG_SS].flags, state->xcr0);
    if (!obstacle && (state->xsave_length < XSAVE_LEGACY_SIZE ||
                      state->xsave_length > sizeof(state->xsave))) {
        obstacle = "the length of its extended state is wrong";
    }
    if (obstacle) {
        error_setg(errp, "the trace's state of vCPU %d cannot be loaded: %s",
                   cs->cpu_index, obstacle);
        return false;
    }

    memcpy(env->regs, state->gpr, sizeof(state->gpr));
    env->eip = state->rip;
    env->eflags = state->rflags | 2;
    load_segments(env, state);
    env->cr[0] = state->cr0;
    env->cr[2] = state->cr2;
    env->cr[3] = state->cr3;
    env->cr[4] = state->cr4;
    env->xcr0 = state->xcr0;
    env->efer = state->efer;
    env->star = state->star;
    env->lstar = state->lstar;
    env->cstar = state->cstar;
    env->fmask = state->fmask;
    env->kernelgsbase = state->kernel_gs_base;
    env->sysenter_cs = state->sysenter_cs;
    env->sysenter_esp = state->sysenter_esp;
    env->sysenter_eip = state->sysenter_eip;
    env->pat = state->pat;
    env->tsc_aux = state->tsc_aux;
    env->msr_ia32_misc_enable = state->misc_enable;
    env->spec_ctrl = state->spec_ctrl;

    memcpy(image, state->xsave, state->xsave_length);
    x86_cpu_xrstor_all_areas(cpu, image, sizeof(image));
    env->fpus &= ~0x3800;       /* the top of the stack is kept apart */
    env->pkru = state->pkru;
    update_fp_status(env);
    update_mxcsr_status(env);

    load_debug_registers(cs, state);
    recompute_hflags(env);
    clear_pending(cs);
    tlb_flush(cs);
    return true;
}

uint64_t krr_cpu_rip(CPUState *cs)
{
    return cpu_env(cs)->eip;
}

uint64_t krr_cpu_tsc(CPUState *cs)
{
    CPUX86State *env = cpu_env(cs);

    if (kvm_enabled()) {
        g_autofree struct kvm_msrs *msrs = g_malloc0(sizeof(*msrs) + sizeof(msrs->entries[0]));

        msrs->nmsrs = 1;
        msrs->entries[0].index = MSR_IA32_TSC;
        return kvm_vcpu_ioctl(cs, KVM_GET_MSRS, msrs) == 1 ? msrs->entries[0].data : 0;
    }
    return cpu_get_tsc(env) + env->tsc_offset;
}

/* ---- model ---- */

/* Register numbers of the trace format (EAX, EBX, ECX, EDX) and QEMU's. */
static const int reg_index[] = { R_EAX, R_EBX, R_ECX, R_EDX };

static uint32_t reg_number(int index)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(reg_index); i++) {
        if (reg_index[i] == index) {
            return i;
        }
    }
    g_assert_not_reached();
}

static KrrFeature feature_name(FeatureWord w)
{
    const FeatureWordInfo *info = &feature_word_info[w];

    if (info->type == MSR_FEATURE_WORD) {
        return (KrrFeature) { .leaf = info->msr.index, .reg = KRR_FEATURE_MSR };
    }
    return (KrrFeature) {
        .leaf = info->cpuid.eax,
        .subleaf = info->cpuid.needs_ecx ? info->cpuid.ecx : 0,
        .reg = reg_number(info->cpuid.reg),
    };
}

QEMU_BUILD_BUG_ON(FEATURE_WORDS > KRR_MACHINE_FEATURES);

void krr_cpu_describe(CPUState *cs, KrrMachine *machine)
{
    X86CPU *cpu = X86_CPU(cs);
    CPUX86State *env = &cpu->env;
    uint32_t version = env->cpuid_version;

    machine->phys_bits = cpu->phys_bits;
    memcpy(machine->vendor, &env->cpuid_vendor1, 4);
    memcpy(machine->vendor + 4, &env->cpuid_vendor2, 4);
    memcpy(machine->vendor + 8, &env->cpuid_vendor3, 4);
    machine->family = extract32(version, 8, 4);
    if (machine->family == 0xf) {
        machine->family += extract32(version, 20, 8);
    }
    machine->model = extract32(version, 4, 4) | extract32(version, 16, 4) << 4;
    machine->stepping = extract32(version, 0, 4);
    machine->cpuid_level = env->cpuid_level;
    machine->cpuid_xlevel = env->cpuid_xlevel;
    machine->cpuid_xlevel2 = env->cpuid_xlevel2;
    machine->tsc_khz = MIN(MAX(env->tsc_khz, 0), UINT32_MAX);
    machine->features_count = 0;
    for (FeatureWord w = 0; w < FEATURE_WORDS; w++) {
        if (env->features[w]) {
            KrrFeature feature = feature_name(w);

            feature.value = env->features[w];
            machine->features[machine->features_count++] = feature;
        }
    }
}

static uint64_t described_feature(const KrrMachine *machine, FeatureWord w)
{
    const KrrFeature name = feature_name(w);

    for (uint32_t i = 0; i < machine->features_count; i++) {
        const KrrFeature *f = &machine->features[i];

        if (f->leaf == name.leaf && f->subleaf == name.subleaf && f->reg == name.reg) {
            return f->value;
        }
    }
    return 0;
}

void krr_cpu_configure(X86CPU *cpu, const KrrMachine *machine)
{
    CPUX86State *env = &cpu->env;
    uint32_t family = MIN(machine->family, 0xf);

    memcpy(&env->cpuid_vendor1, machine->vendor, 4);
    memcpy(&env->cpuid_vendor2, machine->vendor + 4, 4);
    memcpy(&env->cpuid_vendor3, machine->vendor + 8, 4);
    env->cpuid_version = family << 8 | ((machine->family - family) & 0xff) << 20 |
                         (machine->model & 0xf) << 4 | (machine->model & 0xf0) << 12 |
                         (machine->stepping & 0xf);
    env->cpuid_level = machine->cpuid_level;
    env->cpuid_xlevel = machine->cpuid_xlevel;
    env->cpuid_xlevel2 = machine->cpuid_xlevel2;
    for (FeatureWord w = 0; w < FEATURE_WORDS; w++) {
        env->features[w] = described_feature(machine, w);
    }
    cpu->phys_bits = machine->phys_bits;
    cpu->host_phys_bits = false;
    /* What TCG lacks was harmless to the recorder; no need to tell the user. */
    cpu->check_cpuid = false;
    cpu->enforce_cpuid = false;
}
