// The part of ONNX Runtime's C interface that custom operators use, with declarations of our own.
//
// The interface is a table of functions that only ever grows at its end, so an index names a
// function for good; no header is needed, and one binary serves every version from 1.18 on.
#pragma once

#include <stddef.h>
#include <stdint.h>

using OrtStatus = struct OpaqueStatus;
using OrtValue = struct OpaqueValue;
using OrtShape = struct OpaqueShape;
using OrtKernelInfo = struct OpaqueKernelInfo;
using OrtKernelContext = struct OpaqueKernelContext;
using OrtDomain = struct OpaqueDomain;
using OrtSessionOptions = struct OpaqueSessionOptions;
using OrtFunction = void (*)();

struct OrtApi {
  OrtFunction functions[512];
};

struct OrtApiBase {
  const OrtApi* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

constexpr uint32_t kOrtApiVersion = 18;  // the first whose table has ParallelFor of a kernel

// Element types, as ONNX numbers them.
enum OrtElementType { kFloat = 1, kUint8 = 2, kInt8 = 3, kInt32 = 6, kFloat16 = 10 };

enum OrtErrorCode { kInvalidArgument = 2 };

// What describes a custom operator to the runtime, up to the member that versions of the table add
// last.
struct OrtCustomOp {
  uint32_t version;
  void* (*create_kernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*name)(const OrtCustomOp*);
  const char* (*provider)(const OrtCustomOp*);
  int (*input_type)(const OrtCustomOp*, size_t);
  size_t (*input_count)(const OrtCustomOp*);
  int (*output_type)(const OrtCustomOp*, size_t);
  size_t (*output_count)(const OrtCustomOp*);
  void (*compute)(void*, OrtKernelContext*);
  void (*destroy_kernel)(void*);
  int (*input_characteristic)(const OrtCustomOp*, size_t);
  int (*output_characteristic)(const OrtCustomOp*, size_t);
  int (*input_memory)(const OrtCustomOp*, size_t);
  int (*variadic_input_arity)(const OrtCustomOp*);
  int (*variadic_input_homogeneous)(const OrtCustomOp*);
  int (*variadic_output_arity)(const OrtCustomOp*);
  int (*variadic_output_homogeneous)(const OrtCustomOp*);
  OrtStatus* (*create_kernel_v2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void**);
  OrtStatus* (*compute_v2)(void*, OrtKernelContext*);
  OrtStatus* (*infer_shape)(const OrtCustomOp*, void*);
  int (*start_version)(const OrtCustomOp*);
  int (*end_version)(const OrtCustomOp*);
  void* in_place[2];
  void* aliases[2];
};

// The functions by their index, typed. They return a status: null for success.
class Ort {
 public:
  explicit Ort(const OrtApi* api) : api_(api) {}

  OrtStatus* error(const char* message) const {
    return call<OrtStatus*>(0, (int)kInvalidArgument, message);
  }
  OrtStatus* create_domain(const char* name, OrtDomain** domain) const {
    return call<OrtStatus*>(26, name, domain);
  }
  OrtStatus* add_operator(OrtDomain* domain, const OrtCustomOp* op) const {
    return call<OrtStatus*>(27, domain, op);
  }
  OrtStatus* add_domain(OrtSessionOptions* options, OrtDomain* domain) const {
    return call<OrtStatus*>(28, options, domain);
  }
  OrtStatus* data(OrtValue* value, void** data) const { return call<OrtStatus*>(51, value, data); }
  OrtStatus* dimensions(const OrtShape* shape, size_t* count) const {
    return call<OrtStatus*>(61, shape, count);
  }
  OrtStatus* sizes(const OrtShape* shape, int64_t* sizes, size_t count) const {
    return call<OrtStatus*>(62, shape, sizes, count);
  }
  OrtStatus* elements(const OrtShape* shape, size_t* count) const {
    return call<OrtStatus*>(64, shape, count);
  }
  OrtStatus* shape(const OrtValue* value, OrtShape** shape) const {
    return call<OrtStatus*>(65, value, shape);
  }
  OrtStatus* attribute(const OrtKernelInfo* info, const char* name, int64_t* value) const {
    return call<OrtStatus*>(86, info, name, value);
  }
  OrtStatus* input_count(const OrtKernelContext* context, size_t* count) const {
    return call<OrtStatus*>(88, context, count);
  }
  OrtStatus* input(const OrtKernelContext* context, size_t index, const OrtValue** value) const {
    return call<OrtStatus*>(90, context, index, value);
  }
  OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* sizes, size_t count,
                    OrtValue** value) const {
    return call<OrtStatus*>(91, context, index, sizes, count, value);
  }
  void release(OrtShape* shape) const { call<void>(99, shape); }
  OrtStatus* parallel_for(const OrtKernelContext* context, void (*body)(void*, size_t),
                          size_t count, void* user) const {
    constexpr size_t kLetItChoose = 0;
    return call<OrtStatus*>(274, context, body, count, kLetItChoose, user);
  }

 private:
  template <class Result, class... Arguments>
  Result call(int index, Arguments... arguments) const {
    return ((Result (*)(Arguments...))api_->functions[index])(arguments...);
  }

  const OrtApi* api_;
};
