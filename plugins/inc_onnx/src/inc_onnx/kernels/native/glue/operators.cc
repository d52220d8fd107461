// Operators of the domain `ai.inc` for ONNX Runtime: DynamicLinear and Int4Linear. See ../rows.py.
#include "inc_kernels.h"
#include "ort_api.h"
#include "scratch.h"

namespace {

constexpr int64_t kBlocksPerPiece = 4;  // of 64 columns: one row of 4096 inputs takes about 50 us
constexpr size_t kMaxDimensions = 16;

int64_t column_blocks(int64_t n) { return (n + INC_COLUMN_BLOCK - 1) / INC_COLUMN_BLOCK; }

int64_t padded_columns(int64_t n) { return column_blocks(n) * INC_COLUMN_BLOCK; }

// One input of a call; `elements` is -1 and `data` null if it is left out.
struct Input {
  const void* data = nullptr;
  int64_t elements = -1;
};

Input read_input(const Ort& ort, const OrtKernelContext* context, size_t index) {
  Input input;
  size_t count = 0;
  const OrtValue* value = nullptr;
  ort.input_count(context, &count);
  if (index >= count || ort.input(context, index, &value) || !value) return input;
  OrtShape* shape = nullptr;
  size_t elements = 0;
  ort.shape(value, &shape);
  ort.elements(shape, &elements);
  ort.release(shape);
  ort.data((OrtValue*)value, (void**)&input.data);
  input.elements = (int64_t)elements;
  return input;
}

// The activations: (..., k), their leading dimensions flattened.
struct Activations {
  const float* data = nullptr;
  int64_t m = 1, k = 0;
  int64_t sizes[kMaxDimensions];
  size_t dimensions = 0;
};

bool read_activations(const Ort& ort, const OrtKernelContext* context, Activations* x) {
  const OrtValue* value = nullptr;
  OrtShape* shape = nullptr;
  ort.input(context, 0, &value);
  ort.data((OrtValue*)value, (void**)&x->data);
  ort.shape(value, &shape);
  ort.dimensions(shape, &x->dimensions);
  const bool fits = x->dimensions >= 1 && x->dimensions <= kMaxDimensions;
  if (fits) ort.sizes(shape, x->sizes, x->dimensions);
  ort.release(shape);
  if (!fits) return false;
  for (size_t i = 0; i + 1 < x->dimensions; i++) x->m *= x->sizes[i];
  x->k = x->sizes[x->dimensions - 1];
  return true;
}

float* new_output(const Ort& ort, OrtKernelContext* context, const Activations& x, int64_t n) {
  int64_t sizes[kMaxDimensions];
  for (size_t i = 0; i < x.dimensions; i++) sizes[i] = x.sizes[i];
  sizes[x.dimensions - 1] = n;
  OrtValue* value = nullptr;
  void* data = nullptr;
  ort.output(context, 0, sizes, x.dimensions, &value);
  ort.data(value, &data);
  return (float*)data;
}

// Run `body(n0, n1)` over the columns on the session's threads.
template <class Body>
OrtStatus* over_columns(const Ort& ort, const OrtKernelContext* context, int64_t n,
                        const Body& body) {
  struct Work {
    const Body* body;
    int64_t n;
  } work = {&body, padded_columns(n)};
  const auto piece = [](void* user, size_t index) {
    const Work* work = (const Work*)user;
    const int64_t n0 = (int64_t)index * kBlocksPerPiece * INC_COLUMN_BLOCK;
    const int64_t n1 = n0 + kBlocksPerPiece * INC_COLUMN_BLOCK;
    (*work->body)(n0, n1 < work->n ? n1 : work->n);
  };
  const int64_t pieces = (column_blocks(n) + kBlocksPerPiece - 1) / kBlocksPerPiece;
  return ort.parallel_for(context, piece, (size_t)pieces, &work);
}

struct DynamicLinear {
  static constexpr const char* kName = "DynamicLinear";
  // x, packed, column_sums, scales, bias
  static constexpr int kInputTypes[] = {kFloat, kInt8, kInt32, kFloat, kFloat};
  static constexpr size_t kRequired = 4;

  OrtStatus* read_attributes(const OrtKernelInfo* info) {
    if (OrtStatus* status = ort.attribute(info, "out_features", &n)) return status;
    if (OrtStatus* status = ort.attribute(info, "activation", &activation)) return status;
    const bool known = activation >= INC_ACTIVATION_NONE && activation <= INC_ACTIVATION_SILU;
    return n > 0 && known ? nullptr : ort.error("out_features or activation is out of range");
  }

  OrtStatus* compute(OrtKernelContext* context) const {
    Activations x;
    if (!read_activations(ort, context, &x)) return ort.error("x has no or too many dimensions");
    const Input packed = read_input(ort, context, 1), sums = read_input(ort, context, 2);
    const Input scales = read_input(ort, context, 3), bias = read_input(ort, context, 4);
    if (packed.elements != (int64_t)inc_int8_packed_size(x.k, n) ||
        sums.elements != padded_columns(n) || scales.elements != n ||
        (bias.data && bias.elements != n)) {
      return ort.error("the weight, its scales or the bias do not fit x and out_features");
    }
    float* y = new_output(ort, context, x, n);
    if (x.m == 0) return nullptr;
    const Scratch scratch(inc_dynamic_scratch_size(x.m, x.k));
    if (!scratch.get()) return ort.error("no memory");
    inc_dynamic_quantize(x.data, x.k, x.m, x.k, scratch.get(), 0, x.m);
    return over_columns(ort, context, n, [&](int64_t n0, int64_t n1) {
      inc_dynamic_linear(scratch.get(), x.m, x.k, (const int8_t*)packed.data,
                         (const int32_t*)sums.data, (const float*)scales.data,
                         (const float*)bias.data, (int)activation, n, y, n, 0, x.m, n0, n1);
    });
  }

  Ort ort;
  int64_t n = 0, activation = 0;
};

struct Int4Linear {
  static constexpr const char* kName = "Int4Linear";
  // x, packed, scales, zero_points, bias
  static constexpr int kInputTypes[] = {kFloat, kUint8, kFloat16, kUint8, kFloat};
  static constexpr size_t kRequired = 3;

  OrtStatus* read_attributes(const OrtKernelInfo* info) {
    if (OrtStatus* status = ort.attribute(info, "out_features", &n)) return status;
    if (OrtStatus* status = ort.attribute(info, "group_size", &group_size)) return status;
    if (OrtStatus* status = ort.attribute(info, "compute", &compute_type)) return status;
    const bool known = compute_type >= INC_COMPUTE_FP32 && compute_type <= INC_COMPUTE_INT8;
    if (n > 0 && known && group_size > 0 && group_size % INC_GROUP_MULTIPLE == 0) return nullptr;
    return ort.error("out_features, group_size or compute is out of range");
  }

  OrtStatus* compute(OrtKernelContext* context) const {
    Activations x;
    if (!read_activations(ort, context, &x)) return ort.error("x has no or too many dimensions");
    const Input packed = read_input(ort, context, 1), scales = read_input(ort, context, 2);
    const Input zeros = read_input(ort, context, 3), bias = read_input(ort, context, 4);
    const int64_t group_elements = (x.k + group_size - 1) / group_size * padded_columns(n);
    if (packed.elements != (int64_t)inc_int4_packed_size(x.k, n, group_size) ||
        scales.elements != group_elements || (zeros.data && zeros.elements != group_elements) ||
        (bias.data && bias.elements != n)) {
      return ort.error("the weight, its scales, zero points or the bias do not fit x");
    }
    float* y = new_output(ort, context, x, n);
    if (x.m == 0) return nullptr;
    const Scratch scratch(inc_int4_scratch_size(x.m, x.k, group_size));
    if (!scratch.get()) return ort.error("no memory");
    const int type = (int)compute_type;
    inc_int4_prepare(x.data, x.k, x.m, x.k, group_size, type, scratch.get(), 0, x.m);
    return over_columns(ort, context, n, [&](int64_t n0, int64_t n1) {
      inc_int4_linear(scratch.get(), x.m, x.k, group_size, type, (const uint8_t*)packed.data,
                      (const uint16_t*)scales.data, (const uint8_t*)zeros.data,
                      (const float*)bias.data, n, y, n, n0, n1);
    });
  }

  Ort ort;
  int64_t n = 0, group_size = 0, compute_type = 0;
};

// The description of an operator, from what its class says.
template <class Operator>
constexpr OrtCustomOp describe() {
  OrtCustomOp op = {};
  op.version = kOrtApiVersion;
  op.name = [](const OrtCustomOp*) { return Operator::kName; };
  op.provider = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
  op.input_type = [](const OrtCustomOp*, size_t index) { return Operator::kInputTypes[index]; };
  op.input_count = [](const OrtCustomOp*) {
    return sizeof(Operator::kInputTypes) / sizeof(Operator::kInputTypes[0]);
  };
  op.output_type = [](const OrtCustomOp*, size_t) { return (int)kFloat; };
  op.output_count = [](const OrtCustomOp*) { return (size_t)1; };
  op.input_characteristic = [](const OrtCustomOp*, size_t index) {
    return index < Operator::kRequired ? 0 : 1;  // required, optional
  };
  op.output_characteristic = [](const OrtCustomOp*, size_t) { return 0; };
  op.input_memory = [](const OrtCustomOp*, size_t) { return 0; };
  const auto one = [](const OrtCustomOp*) { return 1; };
  op.variadic_input_arity = op.variadic_input_homogeneous = one;
  op.variadic_output_arity = op.variadic_output_homogeneous = one;
  op.start_version = one;
  op.end_version = [](const OrtCustomOp*) { return 0x7fffffff; };
  op.create_kernel_v2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info,
                           void** kernel) {
    Operator* made = (Operator*)calloc(1, sizeof(Operator));
    if (!made) return Ort(api).error("no memory");
    *made = Operator{Ort(api)};
    *kernel = made;
    return made->read_attributes(info);
  };
  op.compute_v2 = [](void* kernel, OrtKernelContext* context) {
    return ((const Operator*)kernel)->compute(context);
  };
  op.destroy_kernel = [](void* kernel) { free(kernel); };
  return op;
}

constexpr OrtCustomOp kOperators[] = {describe<DynamicLinear>(), describe<Int4Linear>()};

}  // namespace

// What SessionOptions.register_custom_ops_library calls.
extern "C" INC_API OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                const OrtApiBase* base) {
  const OrtApi* api = base->get_api(kOrtApiVersion);
  if (!api)
    return nullptr;  // an older runtime, which then says that it does not know the operators
  const Ort ort(api);
  OrtDomain* domain = nullptr;
  if (OrtStatus* status = ort.create_domain("ai.inc", &domain)) return status;
  for (const OrtCustomOp& op : kOperators) {
    if (OrtStatus* status = ort.add_operator(domain, &op)) return status;
  }
  return ort.add_domain(options, domain);
}
