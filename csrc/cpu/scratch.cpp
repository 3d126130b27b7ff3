/*
scratch.cpp - the free list behind Scratch<T>.

The smallest free buffer that is large enough, and at most four times too large, is handed out.
*/
#include "scratch.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace sctd {
namespace {

constexpr size_t kMaxFree = 64;  // buffers; a step uses about ten

std::mutex& mutex() {
    static std::mutex* m = new std::mutex;
    return *m;
}

std::vector<ScratchBlock>& free_list() {
    static auto* list = new std::vector<ScratchBlock>;
    return *list;
}

}  // namespace

ScratchBlock take_scratch(size_t bytes) {
    {
        std::lock_guard<std::mutex> lock(mutex());
        auto& list = free_list();
        size_t best = list.size();
        for (size_t i = 0; i < list.size(); ++i)
            if (list[i].bytes >= bytes && list[i].bytes / 4 <= bytes + 4096 &&
                (best == list.size() || list[i].bytes < list[best].bytes))
                best = i;
        if (best < list.size()) {
            const ScratchBlock block = list[best];
            list[best] = list.back();
            list.pop_back();
            return block;
        }
    }
    // An eighth more than asked for: the next step needs about as much, not exactly as much.
    const size_t rounded = ((bytes + bytes / 8 + 4095) / 4096) * 4096;
    void* data = std::aligned_alloc(64, rounded);
    if (!data) throw std::bad_alloc();
    return {data, rounded};
}

void give_scratch(ScratchBlock block) noexcept {
    std::lock_guard<std::mutex> lock(mutex());
    auto& list = free_list();
    if (list.capacity() < kMaxFree) list.reserve(kMaxFree);
    if (list.size() == kMaxFree) {
        size_t smallest = 0;
        for (size_t i = 1; i < list.size(); ++i)
            if (list[i].bytes < list[smallest].bytes) smallest = i;
        std::free(list[smallest].data);
        list[smallest] = list.back();
        list.pop_back();
    }
    list.push_back(block);
}

void release_scratch() {
    std::lock_guard<std::mutex> lock(mutex());
    for (auto& block : free_list()) std::free(block.data);
    free_list().clear();
}

size_t scratch_bytes() {
    std::lock_guard<std::mutex> lock(mutex());
    size_t total = 0;
    for (auto& block : free_list()) total += block.bytes;
    return total;
}

}  // namespace sctd
