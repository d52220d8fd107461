// The part of torch's stable C interface that the operators use, with declarations of our own and
// symbols found by name: no torch header, no torch to build against, one binary for every torch
// that has them.
#pragma once

#include <stdint.h>

using TensorHandle = struct OpaqueTensor*;
using LibraryHandle = struct OpaqueLibrary*;
// A value on the operator stack: an integer, the bits of a double, a handle, or for an optional a
// pointer to another value (null for None). Handles and pointers are owned by whoever takes them
// off.
using StackValue = uint64_t;
using BoxedKernel = void (*)(StackValue* stack, uint64_t inputs, uint64_t outputs);
using RangeFunction = void (*)(int64_t begin, int64_t end, void* context);
using ErrorCode = int32_t;

struct TorchApi {
  ErrorCode (*library_implement)(const char* name_space, const char* dispatch_key, const char* file,
                                 uint32_t line, LibraryHandle* library);
  ErrorCode (*library_add)(LibraryHandle library, const char* name, BoxedKernel kernel);
  ErrorCode (*data_pointer)(TensorHandle tensor, void** data);
  ErrorCode (*sizes)(TensorHandle tensor, int64_t** sizes);
  ErrorCode (*strides)(TensorHandle tensor, int64_t** strides);
  ErrorCode (*dimensions)(TensorHandle tensor, int64_t* count);
  ErrorCode (*elements)(TensorHandle tensor, int64_t* count);
  ErrorCode (*dtype)(TensorHandle tensor, int32_t* dtype);
  ErrorCode (*is_contiguous)(TensorHandle tensor, bool* contiguous);
  ErrorCode (*empty)(int64_t dimensions, const int64_t* sizes, const int64_t* strides,
                     int32_t dtype, int32_t device_type, int32_t device_index,
                     TensorHandle* tensor);
  ErrorCode (*copy)(TensorHandle to, TensorHandle from, int32_t non_blocking);
  ErrorCode (*release)(TensorHandle tensor);
  ErrorCode (*release_value)(StackValue* value);
  ErrorCode (*parallel_for)(int64_t begin, int64_t end, int64_t grain, RangeFunction function,
                            void* context);
  // Throws through its caller if `good` is false.
  void (*check)(bool good, const char* function, const char* file, uint32_t line,
                const char* message);
  int32_t (*float32)();
  int32_t (*float16)();
  int32_t (*int8)();
  int32_t (*uint8)();
  int32_t (*int32)();
};

extern TorchApi torch_api;

// Fill `torch_api` from a loaded libtorch_cpu; the name of the first missing symbol, or null.
const char* load_torch_api(const char* libtorch_path);
