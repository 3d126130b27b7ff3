/*
fiber.cpp - stacks and the switch between them. x86-64 and aarch64, System V calling conventions: a switch saves what a call
must preserve and nothing else. AddressSanitizer is told about every switch.
*/
#include "fiber.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" void sctd_simt_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.globl sctd_simt_switch
.type sctd_simt_switch, @function
sctd_simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sctd_simt_switch, .-sctd_simt_switch
)");
constexpr size_t kSaved = 6, kReturn = 6;  // words below the return address, and its place among them
#elif defined(__aarch64__)
asm(R"(
.text
.globl sctd_simt_switch
.type sctd_simt_switch, %function
sctd_simt_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size sctd_simt_switch, .-sctd_simt_switch
)");
constexpr size_t kSaved = 20, kReturn = 11;
#else
#error "the emulation of CUDA threads needs x86-64 or aarch64"
#endif

namespace sctd::simt {
namespace {

constexpr size_t kStack = size_t(64) << 10, kMaxThreads = 1024;

// All stacks in one piece, reserved once; the system provides pages as they are touched.
char* stacks() {
    static char* const memory = [] {
        void* p = mmap(nullptr, kStack * kMaxThreads, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) throw std::runtime_error("simt: no memory for the threads' stacks");
        return static_cast<char*>(p);
    }();
    return memory;
}

void (*g_main)() = nullptr;

#if defined(__SANITIZE_ADDRESS__)
const void* g_caller_low = nullptr;  // the scheduler's stack, as the sanitizer knows it
size_t g_caller_size = 0;
Fiber* g_leaving = nullptr;

void arrived(void* fake) {
    const void* low = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(fake, &low, &size);
    if (!g_leaving->low) g_caller_low = low, g_caller_size = size;
}
#else
void arrived(void*) {}
#endif

void enter() {
    arrived(nullptr);
    g_main();
}

}  // namespace

void start_fiber(Fiber& fiber, unsigned index, void (*main)()) {
    char* low = stacks() + index * kStack;
    // tops are staggered, or all stacks would compete for the same few cache sets
    uintptr_t top = reinterpret_cast<uintptr_t>(low + kStack) - 128 - index % 32 * 192;
    top &= ~uintptr_t(63);
    uintptr_t* frame = reinterpret_cast<uintptr_t*>(top) - 2 - kSaved;
    std::memset(frame, 0, (kSaved + 2) * sizeof(uintptr_t));
    g_main = main;
    frame[kReturn] = reinterpret_cast<uintptr_t>(&enter);
    fiber.stack_pointer = frame;
    fiber.low = low;
    fiber.fake = nullptr;
}

void switch_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    g_leaving = &from;
    __sanitizer_start_switch_fiber(&from.fake, to.low ? to.low : g_caller_low,
                                   to.low ? kStack : g_caller_size);
#endif
    sctd_simt_switch(&from.stack_pointer, to.stack_pointer);
    arrived(from.fake);
}

bool fiber_stack_holds(const void* address) {
    const char* p = static_cast<const char*>(address);
    return p >= stacks() && p < stacks() + kStack * kMaxThreads;
}

}  // namespace sctd::simt
