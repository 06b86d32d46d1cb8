# SPDX-License-Identifier: GPL-2.0-or-later
"""Build lguest_py.kvm._kvm with cffi in API mode, in which the C compiler checks every layout and number below.

setup.py names ``ffi``, so pip builds it.  The tables of all ioctls, capabilities and exit reasons are generated
from the <linux/kvm.h> found at build time.

This file is run, not imported, at build time, so it imports nothing of the package.  Read next: file.py.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig

from cffi import FFI

DECLARATIONS = """
/* Functions. The GIL is released around each of these. */
int kvm_ioctl_value(int fd, unsigned long number, unsigned long value);   /* below 0: -errno */
int kvm_ioctl_pointer(int fd, unsigned long number, void *pointer);
void *kvm_map(int fd, size_t size);                                       /* NULL: errno */
int kvm_unmap(void *address, size_t size);
int kvm_kick_signal(void);                                                /* 0: every signal is in use */

/* Names and numbers, generated. */
struct kvm_constant { const char *name; unsigned long number; ...; };
extern const struct kvm_constant kvm_ioctls[...];
extern const struct kvm_constant kvm_capabilities[...];
extern const struct kvm_constant kvm_exits[...];

struct kvm_userspace_memory_region {
    uint32_t slot; uint32_t flags; uint64_t guest_phys_addr; uint64_t memory_size; uint64_t userspace_addr; ...; };
struct kvm_dirty_log { uint32_t slot; void *dirty_bitmap; ...; };
struct kvm_irq_level { uint32_t irq; uint32_t level; ...; };
struct kvm_interrupt { uint32_t irq; ...; };
struct kvm_irqfd { uint32_t fd; uint32_t gsi; uint32_t flags; uint32_t resamplefd; ...; };
struct kvm_ioeventfd { uint64_t datamatch; uint64_t addr; uint32_t len; int32_t fd; uint32_t flags; ...; };
struct kvm_irq_routing_irqchip { uint32_t irqchip; uint32_t pin; };
struct kvm_irq_routing_msi { uint32_t address_lo; uint32_t address_hi; uint32_t data; uint32_t pad; };
struct kvm_irq_routing_entry {
    uint32_t gsi; uint32_t type; uint32_t flags;
    union { struct kvm_irq_routing_irqchip irqchip; struct kvm_irq_routing_msi msi; uint32_t pad[8]; } u; ...; };
struct kvm_irq_routing { uint32_t nr; uint32_t flags; struct kvm_irq_routing_entry entries[]; ...; };
struct kvm_enable_cap { uint32_t cap; uint32_t flags; unsigned long long args[4]; ...; };

struct kvm_regs {
    uint64_t rax; uint64_t rbx; uint64_t rcx; uint64_t rdx; uint64_t rsi; uint64_t rdi; uint64_t rsp; uint64_t rbp;
    uint64_t r8; uint64_t r9; uint64_t r10; uint64_t r11; uint64_t r12; uint64_t r13; uint64_t r14; uint64_t r15;
    uint64_t rip; uint64_t rflags; ...; };
struct kvm_segment {
    uint64_t base; uint32_t limit; uint16_t selector; uint8_t type; uint8_t present; uint8_t dpl; uint8_t db;
    uint8_t s; uint8_t l; uint8_t g; uint8_t avl; uint8_t unusable; ...; };
struct kvm_dtable { uint64_t base; uint16_t limit; ...; };
struct kvm_sregs {
    struct kvm_segment cs; struct kvm_segment ds; struct kvm_segment es; struct kvm_segment fs;
    struct kvm_segment gs; struct kvm_segment ss; struct kvm_segment tr; struct kvm_segment ldt;
    struct kvm_dtable gdt; struct kvm_dtable idt; uint64_t cr0; uint64_t cr2; uint64_t cr3; uint64_t cr4;
    uint64_t cr8; uint64_t efer; uint64_t apic_base; unsigned long long interrupt_bitmap[...]; ...; };
struct kvm_fpu {
    uint8_t fpr[8][16]; uint16_t fcw; uint16_t fsw; uint8_t ftwx; uint16_t last_opcode; uint64_t last_ip;
    uint64_t last_dp; uint8_t xmm[16][16]; uint32_t mxcsr; ...; };
struct kvm_cpuid_entry2 {
    uint32_t function; uint32_t index; uint32_t flags; uint32_t eax; uint32_t ebx; uint32_t ecx; uint32_t edx; ...; };
struct kvm_cpuid2 { uint32_t nent; struct kvm_cpuid_entry2 entries[]; ...; };
struct kvm_msr_entry { uint32_t index; uint64_t data; ...; };
struct kvm_msrs { uint32_t nmsrs; struct kvm_msr_entry entries[]; ...; };
struct kvm_mp_state { uint32_t mp_state; ...; };
struct kvm_lapic_state { char regs[...]; ...; };
struct kvm_guest_debug_arch { unsigned long long debugreg[8]; ...; };
struct kvm_guest_debug { uint32_t control; struct kvm_guest_debug_arch arch; ...; };
struct kvm_vcpu_events {
    struct { uint8_t injected; uint8_t nr; uint8_t has_error_code; uint8_t pending; uint32_t error_code; } exception;
    struct { uint8_t injected; uint8_t nr; uint8_t soft; uint8_t shadow; } interrupt;
    struct { uint8_t injected; uint8_t pending; uint8_t masked; uint8_t pad; } nmi;
    uint32_t sipi_vector; uint32_t flags;
    struct { uint8_t smm; uint8_t pending; uint8_t smm_inside_nmi; uint8_t latched_init; } smi;
    uint8_t exception_has_payload; uint64_t exception_payload; ...; };

struct kvm_debug_exit_arch { uint32_t exception; uint32_t pad; uint64_t pc; uint64_t dr6; uint64_t dr7; };
struct kvm_run {
    uint8_t request_interrupt_window; uint8_t immediate_exit; uint32_t exit_reason;
    uint8_t ready_for_interrupt_injection; uint8_t if_flag; uint64_t cr8; uint64_t apic_base;
    union {
        struct { uint64_t hardware_exit_reason; } hw;
        struct { uint64_t hardware_entry_failure_reason; uint32_t cpu; } fail_entry;
        struct { uint8_t direction; uint8_t size; uint16_t port; uint32_t count; uint64_t data_offset; } io;
        struct { struct kvm_debug_exit_arch arch; } debug;
        struct { uint64_t phys_addr; uint8_t data[8]; uint32_t len; uint8_t is_write; } mmio;
        struct { uint32_t suberror; uint32_t ndata; uint64_t data[16]; } internal;
        struct { uint32_t type; uint32_t ndata; uint64_t data[16]; } system_event;
        char padding[256];
    };
    ...; };

#define KVM_EXIT_UNKNOWN ...
#define KVM_EXIT_IO ...
#define KVM_EXIT_DEBUG ...
#define KVM_EXIT_HLT ...
#define KVM_EXIT_MMIO ...
#define KVM_EXIT_IRQ_WINDOW_OPEN ...
#define KVM_EXIT_SHUTDOWN ...
#define KVM_EXIT_FAIL_ENTRY ...
#define KVM_EXIT_INTR ...
#define KVM_EXIT_NMI ...
#define KVM_EXIT_INTERNAL_ERROR ...
#define KVM_EXIT_SYSTEM_EVENT ...
#define KVM_EXIT_IO_OUT ...
#define KVM_MEM_LOG_DIRTY_PAGES ...
#define KVM_MEM_READONLY ...
#define KVM_IRQFD_FLAG_DEASSIGN ...
#define KVM_IRQFD_FLAG_RESAMPLE ...
#define KVM_IOEVENTFD_FLAG_DATAMATCH ...
#define KVM_IOEVENTFD_FLAG_PIO ...
#define KVM_IOEVENTFD_FLAG_DEASSIGN ...
#define KVM_IRQ_ROUTING_IRQCHIP ...
#define KVM_IRQCHIP_IOAPIC ...
#define KVM_GUESTDBG_ENABLE ...
#define KVM_GUESTDBG_SINGLESTEP ...
#define KVM_GUESTDBG_USE_SW_BP ...
#define KVM_GUESTDBG_USE_HW_BP ...
"""

SOURCE = """
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static int kvm_ioctl_value(int fd, unsigned long number, unsigned long value)
{
    int result = ioctl(fd, number, value);
    return result < 0 ? -errno : result;
}

static int kvm_ioctl_pointer(int fd, unsigned long number, void *pointer)
{
    int result = ioctl(fd, number, pointer);
    return result < 0 ? -errno : result;
}

static void *kvm_map(int fd, size_t size)
{
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

static int kvm_unmap(void *address, size_t size)
{
    return munmap(address, size);
}

static void kvm_kicked(int number)
{
    (void)number; /* the signal only interrupts KVM_RUN */
}

/* Reserve the highest unused real-time signal, with a handler that does nothing. */
static int kvm_kick_signal(void)
{
    for (int number = SIGRTMAX; number >= SIGRTMIN; number--) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) || (action.sa_flags & SA_SIGINFO) || action.sa_handler != SIG_DFL)
            continue;
        action.sa_handler = kvm_kicked;
        action.sa_flags = 0; /* no SA_RESTART */
        sigemptyset(&action.sa_mask);
        return sigaction(number, &action, NULL) ? 0 : number;
    }
    return 0;
}

struct kvm_constant { const char *name; unsigned long number; };
"""


def preprocess(*options: str) -> str:
    """The C preprocessor's output for <linux/kvm.h>."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-E", *options, "-"]
    try:
        done = subprocess.run(command, input="#include <linux/kvm.h>\n", capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"lguest-py: needs a C compiler ({compiler[0]}): apt-get install gcc") from None
    if done.returncode:
        raise SystemExit("lguest-py: needs <linux/kvm.h>: apt-get install gcc linux-libc-dev libc6-dev")
    return done.stdout


def tables() -> str:
    """C source of the three tables: KVM_ ioctls whose argument this architecture has, capabilities, exit reasons."""
    known = set(re.findall(r"\bstruct\s+(\w+)\s*\{", preprocess("-P")))
    ioctls, capabilities, exits = [], [], []
    for name, body in sorted(re.findall(r"^#define (KVM_\w+) (.+)$", preprocess("-dM"), re.MULTILINE)):
        struct = re.search(r"\bstruct (\w+)", body)
        if re.match(r"_IO[RW]*\(KVMIO,", body):
            if not struct or struct[1] in known:
                ioctls.append(name)
        elif name.startswith("KVM_CAP_"):
            capabilities.append(name)
        elif re.match(r"KVM_EXIT_(?!IO_|HYPERV_|XEN_)", name) and body.isdecimal():
            exits.append(name)
    return "".join(
        f"static const struct kvm_constant {table}[] = {{\n"
        + "".join(f'    {{ "{name}", {name} }},\n' for name in names)
        + "};\n"
        for table, names in (("kvm_ioctls", ioctls), ("kvm_capabilities", capabilities), ("kvm_exits", exits))
    )


ffi = FFI()
ffi.cdef(DECLARATIONS)
ffi.set_source("lguest_py.kvm._kvm", SOURCE + tables(), py_limited_api=True)
