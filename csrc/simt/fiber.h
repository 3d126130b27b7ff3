/*
fiber.h - a thread of control with a stack of its own, switched by hand: about 30 ns where the system's own takes microseconds.
*/
#pragma once

namespace sctd::simt {

struct Fiber {
    void* stack_pointer = nullptr;
    void* low = nullptr;   // its stack; null for the scheduler's, which is the caller's own
    void* fake = nullptr;  // of AddressSanitizer
};

// Prepares fiber number `index` (its stack is reused from block to block) to enter `main`, which must not return.
void start_fiber(Fiber& fiber, unsigned index, void (*main)());
// Leaves `from` and continues in `to`; returns when another fiber switches back.
void switch_fiber(Fiber& from, Fiber& to);
bool fiber_stack_holds(const void* address);

}  // namespace sctd::simt
