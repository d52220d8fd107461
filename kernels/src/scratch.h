// Memory for one call of a framework's operator.
#pragma once

#include <stddef.h>
#include <stdlib.h>

// Memory for one call. Small blocks are kept by the thread for its next call; there is no
// destructor to give them back when the thread ends, since that would need the C++ runtime.
class Scratch {
 public:
  explicit Scratch(size_t bytes) {
    constexpr size_t kLargestKept = 32 << 20, kPage = 4096;
    bytes = (bytes / kPage + 1) * kPage;
    owned_ = bytes > kLargestKept;
    if (owned_) {
      memory_ = aligned_alloc(64, bytes);
      return;
    }
    static __thread void* kept;
    static __thread size_t kept_bytes;
    if (bytes > kept_bytes) {
      free(kept);
      kept = aligned_alloc(64, bytes);
      kept_bytes = kept ? bytes : 0;
    }
    memory_ = kept;
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    if (owned_) free(memory_);
  }
  void* get() const { return memory_; }

 private:
  void* memory_;
  bool owned_;
};
