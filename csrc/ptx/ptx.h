/*
ptx.h - executes PTX, the text that nvcc and Triton compile kernels to, on the CPU. For tests; nothing here is ever a time.

The emulation (csrc/simt) runs the .cu sources under g++. This runs what the GPU's own compilers made of them: their contractions,
their order of operations, their code for divergence and half precision. Two things are not seen: ptxas, which turns PTX into
machine code, and CUB, whose stand-in in the emulation runs here too.

  text.h .cpp       text in statements, words, declarations
  parser.cpp        those => Kernel: registers become places in a file, immediates too, instructions an array
  table.h           how an opcode is added to the table: one line, its name, its types, what a lane computes
  arithmetic.cpp    integers and floats        conversions.cpp  mov, cvt, selp and half precision
  access.cpp        ld, st, atom, red          collectives.cpp  shfl, vote, redux, activemask
  memory.h .cpp     the arrays that a kernel may touch, and which of their bytes have been written
  machine.cpp       warps, blocks, schedules
  launch.h .cpp     the host code's LAUNCH, sent here    bindings.cpp  all of it for Python    build.py  compiles it

A warp executes an instruction for all its lanes that stand at it. Lanes that part become groups, each with a place in the code.
  lockstep   the group that is furthest behind goes first, and joins the group that it meets: what hardware mostly does
  hostile    seeded: any group of any warp for a few instructions, blocks in any order, and lanes part anywhere. Code that is
             right only while lanes happen to stay together fails here.
A hostile schedule is what CUDA allows since sm_70; `jitter` moves the results of approximate instructions (ex2, rcp, div.full,
...) by as many ulps as PTX lets them be wrong.

Errors, with the kernel, block, thread and line of the PTX: an opcode or form that the table does not have; an access outside the
arrays that were passed, or misaligned; a read of bytes that nothing wrote; a lane outside its own mask; a shuffle from a lane
outside the mask; a collective for lanes that have left or wait elsewhere; a barrier that part of the block never reaches.
Stricter than PTX: lanes of a collective must stand at one instruction, and threads that left do not count as arrived.
A register that nothing wrote holds NaN; reading it is no error.
Not modelled: memory order weaker than sequential, more than one block at a time, textures, functions, global variables.

Counted for each kernel: instructions that warps executed, 32-byte sectors of its global loads and stores, global atomics.
*/
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace sctd::ptx {

constexpr int kLanes = 32, kMostOperands = 10;
using Mask = uint32_t;
constexpr Mask kAll = 0xffffffffu;

struct Warp;
struct Instruction;
using Handler = void (*)(Warp&, const Instruction&, Mask);

// The facts of an instruction that the schedule needs; its handler has the rest.
enum class Kind : uint8_t { kPlain, kBranch, kExit, kWarpSync, kBarrier };

struct Instruction {
    Handler run = nullptr;
    std::array<uint32_t, kMostOperands> at{};   // byte of each operand in the warp's file
    std::array<uint8_t, kMostOperands> size{};  // bytes of a lane's element; 0: a predicate
    int64_t offset = 0;                         // of the address, if there is one
    uint32_t guard = 0;                         // byte of the predicate; 0: none
    bool negated = false;
    Kind kind = Kind::kPlain;
    uint8_t operands = 0;
    int target = -1;  // of a branch
    int line = 0;     // in the text
    std::string text;
};

struct Parameter {
    int offset, size;
};

struct Kernel {
    std::string name;
    std::vector<Instruction> code;
    std::vector<Parameter> parameters;
    int parameter_bytes = 0, shared_bytes = 0, local_bytes = 0;
    std::vector<char> file;  // a warp's registers as it starts: immediates in place, the rest never written
    // bytes of the special registers in the file, 0 where unused; x, y, z
    std::array<uint32_t, 3> tid{}, ctaid{}, ntid{}, nctaid{};
};

struct Size {
    unsigned x = 1, y = 1, z = 1;
    uint64_t count() const { return uint64_t(x) * y * z; }
};

struct Bytes {  // memory with a note for each byte of whether it was written
    std::vector<char> data;
    std::vector<uint8_t> written;
    void start(size_t n) { data.assign(n, char(0xff)), written.assign(n, 0); }
};

struct Group {  // lanes of a warp that stand at one instruction
    enum State : uint8_t { kReady, kWaits, kAtBarrier } state;
    int pc;
    Mask lanes, wanted = 0;  // wanted: the mask that it waits for
};

struct Block;

struct Warp {
    Block* block = nullptr;
    int first = 0;   // its first thread
    Mask there = 0;  // lanes that the block has
    std::vector<char> file;
    std::vector<Group> groups;
    Bytes local;
    int pc = 0, lane = 0;  // of what is executed, for messages

    template <typename T>
    T* slot(uint32_t at) {
        return reinterpret_cast<T*>(file.data() + at);
    }
    Mask& predicate(uint32_t at) { return *slot<Mask>(at); }
};

struct Block {
    const Kernel* kernel;
    Size grid, size, index;
    const char* parameters;
    Bytes shared;
    std::vector<Warp> warps;
};

struct Counts {
    int64_t instructions = 0, sectors = 0, atomics = 0, warps = 0;
};

// The state of the machine, of which there is one.
struct Machine {
    bool hostile = false, jitter = false;
    std::mt19937_64 random{1};
    Counts counts;                        // of the kernel that runs
    std::map<std::string, Counts> total;  // of each kernel since they were last taken
};
extern Machine g_machine;

// In the name of the thread and line that run.
[[noreturn]] void fail(const Warp& warp, const std::string& what);

// Raises std::runtime_error that names the line. `dynamic_shared`: bytes of the array that is declared without a size.
std::vector<Kernel> parse(const std::string& text, int dynamic_shared);

void launch(const Kernel& kernel, Size grid, Size block, const std::vector<char>& parameters);

// Lanes, once for each that is in the mask.
template <typename F>
inline void for_lanes(Mask mask, F f) {
    for (; mask; mask &= mask - 1) f(__builtin_ctz(mask));
}

}  // namespace sctd::ptx
