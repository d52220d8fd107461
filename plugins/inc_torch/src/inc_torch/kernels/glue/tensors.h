// Tensors, each released by the scope that holds it.
//
// Kernels never throw: they return a message, every scope ends, and only then does the boxed kernel
// raise it.
#pragma once

#include <string.h>

#include "scratch.h"
#include "torch_api.h"

enum { kMaxDimensions = 16 };

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(TensorHandle handle) : handle_(handle) {}
  Tensor(Tensor&& other) : handle_(other.give()) {}
  Tensor(const Tensor&) = delete;
  Tensor& operator=(Tensor&& other) {
    reset();
    handle_ = other.give();
    return *this;
  }
  ~Tensor() { reset(); }

  // The next argument of an operator.
  static Tensor take(StackValue value) { return Tensor((TensorHandle)value); }
  static Tensor take_optional(StackValue value) {
    if (!value) return Tensor();
    StackValue* inner = (StackValue*)value;
    Tensor tensor((TensorHandle)*inner);
    torch_api.release_value(inner);
    return tensor;
  }

  static Tensor empty(int64_t dimensions, const int64_t* sizes, const int64_t* strides,
                      int32_t dtype) {
    constexpr int32_t kCpu = 0;
    TensorHandle handle = nullptr;
    torch_api.empty(dimensions, sizes, strides, dtype, kCpu, 0, &handle);
    return Tensor(handle);
  }

  static Tensor contiguous(int64_t dimensions, const int64_t* sizes, int32_t dtype) {
    int64_t strides[kMaxDimensions], step = 1;
    for (int64_t i = dimensions - 1; i >= 0; i--) {
      strides[i] = step;
      step *= sizes[i] > 1 ? sizes[i] : 1;
    }
    return empty(dimensions, sizes, strides, dtype);
  }

  // Itself, or a contiguous copy if it is of another dtype or strided. `copy` keeps that alive.
  TensorHandle as(int32_t dtype, Tensor* copy) const {
    if (!handle_ || (this->dtype() == dtype && is_contiguous())) return handle_;
    *copy = contiguous(dimensions(), sizes(), dtype);
    if (copy->handle_ && torch_api.copy(copy->handle_, handle_, 0)) copy->reset();
    return copy->handle_;
  }

  explicit operator bool() const { return handle_ != nullptr; }
  TensorHandle handle() const { return handle_; }
  StackValue give_to_stack() { return (StackValue)give(); }
  int64_t dimensions() const {
    int64_t count = 0;
    torch_api.dimensions(handle_, &count);
    return count;
  }
  int64_t elements() const {
    int64_t count = 0;
    torch_api.elements(handle_, &count);
    return count;
  }
  const int64_t* sizes() const {
    int64_t* sizes = nullptr;
    torch_api.sizes(handle_, &sizes);
    return sizes;
  }
  const int64_t* strides() const {
    int64_t* strides = nullptr;
    torch_api.strides(handle_, &strides);
    return strides;
  }
  int32_t dtype() const {
    int32_t dtype = -1;
    torch_api.dtype(handle_, &dtype);
    return dtype;
  }
  bool is_contiguous() const {
    bool contiguous = false;
    torch_api.is_contiguous(handle_, &contiguous);
    return contiguous;
  }

 private:
  void reset() {
    if (handle_) torch_api.release(handle_);
    handle_ = nullptr;
  }
  TensorHandle give() {
    TensorHandle handle = handle_;
    handle_ = nullptr;
    return handle;
  }

  TensorHandle handle_ = nullptr;
};

static inline void* data_of(TensorHandle handle) {
  void* data = nullptr;
  if (handle) torch_api.data_pointer(handle, &data);
  return data;
}

// The contiguous elements of a tensor argument as one dtype, converted only if they are not.
template <class T>
class View {
 public:
  View(const Tensor& tensor, int32_t dtype) : data_((T*)data_of(tensor.as(dtype, &copy_))) {}
  T* data() const { return data_; }

 private:
  Tensor copy_;
  T* data_;
};

// Run `body(begin, end)` over 0..count on torch's threads, in pieces of at least `grain`.
template <class Body>
void parallel(int64_t count, int64_t grain, const Body& body) {
  const RangeFunction call = [](int64_t begin, int64_t end, void* context) {
    (*(const Body*)context)(begin, end);
  };
  if (count <= grain) {
    if (count) body(0, count);
    return;
  }
  torch_api.parallel_for(0, count, grain, call, (void*)&body);
}
