/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU of a recorded guest: what the host and TCG can both do.
 *
 * The replay executes the guest's kernel in TCG, so the kernel must not have
 * chosen an instruction or a mode that TCG does not know. Feature bits that
 * change nothing about how instructions execute may stay: CPUID and MSR reads
 * of the kernel come from the trace.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "cpu.h"
#include "system/kvm.h"
#include "krr-cpu.h"

/* Bits that TCG lacks and does not need for executing the kernel the same way. */
static const uint64_t inert[FEATURE_WORDS] = {
    [FEAT_1_ECX] = CPUID_EXT_TSC_DEADLINE_TIMER | CPUID_EXT_X2APIC,
    [FEAT_7_0_EBX] = CPUID_7_0_EBX_TSC_ADJUST,
    /* Writes of these MSRs do nothing in TCG, their reads are inputs; without
     * them the guest would be a different, unprotected kernel. */
    [FEAT_7_0_EDX] = CPUID_7_0_EDX_SPEC_CTRL | CPUID_7_0_EDX_STIBP |
                     CPUID_7_0_EDX_ARCH_CAPABILITIES |
                     CPUID_7_0_EDX_SPEC_CTRL_SSBD,
    [FEAT_8000_0007_EDX] = CPUID_APM_INVTSC,
    [FEAT_8000_0008_EBX] = CPUID_8000_0008_EBX_IBPB |
                           CPUID_8000_0008_EBX_IBRS |
                           CPUID_8000_0008_EBX_STIBP |
                           CPUID_8000_0008_EBX_STIBP_ALWAYS_ON |
                           CPUID_8000_0008_EBX_AMD_SSBD |
                           CPUID_8000_0008_EBX_VIRT_SSBD,
    [FEAT_ARCH_CAPABILITIES] = ~0ULL,
};

/* Bits that TCG has and a recorded guest must not have. */
static const uint64_t unwanted[FEATURE_WORDS] = {
    [FEAT_1_ECX] = CPUID_EXT_MONITOR,           /* idle without HLT */
    [FEAT_7_0_EBX] = CPUID_7_0_EBX_MPX |
                     CPUID_7_0_EBX_ERMS,        /* byte-wise REP: TCG's worst case */
    [FEAT_7_0_ECX] = CPUID_7_0_ECX_PKU | CPUID_7_0_ECX_PKS |
                     CPUID_7_0_ECX_LA57,
    [FEAT_7_0_EDX] = CPUID_7_0_EDX_FSRM,
    [FEAT_7_1_EAX] = CPUID_7_1_EAX_FZRM | CPUID_7_1_EAX_FSRS |
                     CPUID_7_1_EAX_FSRC,
    [FEAT_8000_0001_ECX] = CPUID_EXT3_SVM,      /* nested guests */
    [FEAT_SVM] = ~0ULL,
    /* Which components it writes depends on what the CPU remembers. */
    [FEAT_XSAVE] = CPUID_XSAVE_XSAVEOPT,
    [FEAT_XSAVE_XCR0_LO] = XSTATE_BNDREGS_MASK | XSTATE_BNDCSR_MASK |
                           XSTATE_PKRU_MASK,
    /* KVM's signature stays, so that Linux uses the x2APIC; nothing that
     * writes into guest memory behind QEMU's back does. */
    [FEAT_KVM] = ~0ULL,
    [FEAT_KVM_HINTS] = ~0ULL,
    [FEAT_PERF_CAPABILITIES] = ~0ULL,
};

uint64_t krr_feature_mask(FeatureWord w, uint64_t tcg_features)
{
    if (!krr_record_mode) {
        return ~0ULL;
    }
    return (tcg_features | inert[w]) & ~unwanted[w];
}

/* What KVM gives a guest without a bit in CPUID. Before the first vCPU is created. */
static void limit_kvm(void)
{
    if (!kvm_check_extension(kvm_state, KVM_CAP_ENFORCE_PV_FEATURE_CPUID)) {
        error_report("-krr record: this host's KVM gives every guest its paravirtual features, which "
                     "write guest memory unseen; a host with Linux 5.10 or newer is needed");
        exit(1);
    }
    /* AMD's performance counters, which Linux looks for by the family. KVM has no switch for them before
     * Linux 5.18, and none is needed where it has none to give. */
    if (kvm_vm_check_extension(kvm_state, KVM_CAP_PMU_CAPABILITY) & KVM_PMU_CAP_DISABLE &&
        kvm_vm_enable_cap(kvm_state, KVM_CAP_PMU_CAPABILITY, 0, KVM_PMU_CAP_DISABLE) < 0) {
        error_report("-krr record: KVM does not switch off the guest's performance counters, whose "
                     "interrupts cannot be recorded");
        exit(1);
    }
}

void krr_cpu_pre_realize(X86CPU *cpu)
{
    if (!krr_record_mode) {
        return;
    }
    if (cpu->hyperv_features || cpu->hyperv_passthrough) {
        error_report("-krr record: Hyper-V enlightenments write guest memory "
                     "unseen and cannot be recorded; remove hv-* from -cpu");
        exit(1);
    }
    if (kvm_enabled() && !first_cpu) {
        limit_kvm();
    }
    /* Of what raises it, a CPU without XGETBV1 has nothing left, and Linux no XSAVE without its leaf. */
    cpu->env.cpuid_min_level = MAX(cpu->env.cpuid_min_level, 0xd);
    cpu->env.features[FEAT_KVM] = 0;
    cpu->env.features[FEAT_KVM_HINTS] = 0;
    cpu->kvm_pv_enforce_cpuid = true;   /* #GP on MSRs of KVM's that CPUID hides */
    cpu->vmware_cpuid_freq = false;
    cpu->enable_pmu = false;            /* its counts are not in the trace */
    cpu->migratable = false;            /* an invariant TSC is welcome */
}
