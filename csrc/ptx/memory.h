/*
memory.h - what a kernel may touch: the arrays that its launch was given, shared memory, each thread's own, the parameters.

Addresses of arrays are those of the host. The other spaces have windows of their own in the generic space, where no host
address lies. An array that nobody has filled yet is tracked byte by byte, as shared memory and threads' own are: reading a byte
that nothing wrote is an error. Vectors are an exception, since compilers read a struct's padding with its fields: an unwritten
part of one becomes NaN.
*/
#pragma once

#include "ptx.h"

namespace sctd::ptx {

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam };
constexpr uint64_t kSharedWindow = 0x1000000000000000u, kLocalWindow = 0x2000000000000000u,
                   kParamWindow = 0x3000000000000000u, kWindow = 0xf000000000000000u;

uint64_t window(Space space);

struct Array {
    uint64_t begin = 0, end = 0;
    uint8_t* written = nullptr;  // one note a byte; null: all of it is
};

// The arrays of the next launches, in place of those before. `fresh`: memory that started unwritten has a number of its own, under
// which its notes are kept from call to call; 0: all of it is written.
struct Known {
    uint64_t address, bytes, fresh;
};
void know(const std::vector<Known>& arrays);
// Forgets the notes of an array that has been freed.
void forget(uint64_t fresh);
// Notes that the host itself has written there.
void wrote(const void* at, size_t bytes);

enum class Access : uint8_t { kRead, kWrite, kBoth };

// The bytes of a lane's access, and their notes; no notes: all are written.
struct Spot {
    char* at;
    uint8_t* written;
};

// Fails where the access is not allowed.
Spot locate(Warp& warp, Space space, int lane, uint64_t address, int bytes, Access access);

// Adds the 32-byte sectors of a warp's global accesses to the counts.
class Sectors {
public:
    void touch(uint64_t address, int bytes) {
        for (uint64_t s = address / 32; s <= (address + bytes - 1) / 32; ++s) {
            bool seen = n_ && seen_[n_ - 1] == s;
            for (int i = 0; i < n_ && !seen; ++i) seen = seen_[i] == s;
            if (!seen) seen_[n_++] = s;
        }
    }
    ~Sectors() { g_machine.counts.sectors += n_; }

private:
    std::array<uint64_t, 2 * kLanes> seen_;
    int n_ = 0;
};

}  // namespace sctd::ptx
