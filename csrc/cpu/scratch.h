/*
scratch.h - working memory that is kept between calls, so that a training step allocates nothing once it is warm.

Scratch<T> s(n) takes a buffer of at least n items from a list of free ones (or allocates), 64-byte aligned, not
initialised; its destructor puts it back. Buffers freed by release_scratch() are given back to the system.
*/
#pragma once

#include <cstddef>

// Inlined always: this header is compiled for several instruction sets, and a shared copy could be the wrong one.
#define SCTD_INLINE inline __attribute__((always_inline))

namespace sctd {

struct ScratchBlock {
    void* data;
    size_t bytes;
};

ScratchBlock take_scratch(size_t bytes);  // throws std::bad_alloc
void give_scratch(ScratchBlock block) noexcept;
void release_scratch();
size_t scratch_bytes();  // in the free list, for reports

template <typename T>
class Scratch {
public:
    SCTD_INLINE explicit Scratch(size_t n = 0) { resize(n); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    SCTD_INLINE ~Scratch() {
        if (block_.data) give_scratch(block_);
    }
    // The content is lost.
    SCTD_INLINE void resize(size_t n) {
        if (block_.data && block_.bytes >= n * sizeof(T)) return;
        if (block_.data) give_scratch(block_);
        block_ = {nullptr, 0};
        if (n) block_ = take_scratch(n * sizeof(T));
    }
    SCTD_INLINE size_t capacity() const { return block_.bytes / sizeof(T); }
    SCTD_INLINE T* data() { return static_cast<T*>(block_.data); }
    SCTD_INLINE T& operator[](size_t i) { return data()[i]; }
    SCTD_INLINE const T* data() const { return static_cast<const T*>(block_.data); }
    SCTD_INLINE const T& operator[](size_t i) const { return data()[i]; }
    SCTD_INLINE void swap(Scratch& other) {
        const ScratchBlock b = block_;
        block_ = other.block_;
        other.block_ = b;
    }

private:
    ScratchBlock block_{nullptr, 0};
};

}  // namespace sctd
