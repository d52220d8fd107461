// The operators of the namespace `inc` for CPU tensors. Schemas and meaning: operators.py,
// reference.py.
#include "inc_kernels.h"
#include "tensors.h"

namespace {

// A piece of work smaller than this is not worth a thread: about 20 us of multiplying, 10 us of
// memory.
constexpr int64_t kMultiplications = 4 << 20;
constexpr int64_t kElements = 64 << 10;
// Rows for which weights are read once: as many activations stay in a level-2 cache meanwhile.
constexpr int64_t kRowsAPass = 192;
// A block of columns is shared by at most so many threads, and in parts of no fewer rows.
constexpr int64_t kPartsABlock = 4, kRowsAPart = 24;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t at_least_one(int64_t value) { return larger(value, 1); }

int64_t parts_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

int64_t column_blocks(int64_t n) { return parts_of(n, INC_COLUMN_BLOCK); }

int64_t padded_columns(int64_t n) { return column_blocks(n) * INC_COLUMN_BLOCK; }

// What an optional number holds; 0 if it holds none.
StackValue take_optional_value(StackValue value) {
  if (!value) return 0;
  StackValue* inner = (StackValue*)value;
  const StackValue number = *inner;
  torch_api.release_value(inner);
  return number;
}

double double_of(StackValue value) {
  double result;
  memcpy(&result, &value, sizeof result);
  return result;
}

// Inputs that one step of the int8 kernels multiplies.
constexpr int64_t kInputsAStep = 4;
constexpr const char* kTooManyDimensions = "x has no or more than 16 dimensions";
constexpr const char* kNoMemory = "no memory, or a tensor that cannot be converted to float32";

// The leading dimensions of x, flattened.
struct Rows {
  int64_t m, k;
};

bool has_rows(const Tensor& x) { return x.dimensions() >= 1 && x.dimensions() <= kMaxDimensions; }

Rows rows_of(const Tensor& x) {
  const int64_t last = x.dimensions() - 1;
  const int64_t* sizes = x.sizes();
  Rows rows = {1, sizes[last]};
  for (int64_t i = 0; i < last; i++) rows.m *= sizes[i];
  return rows;
}

// A result of x's leading dimensions and n columns.
Tensor result_for(const Tensor& x, int64_t n, int32_t dtype) {
  int64_t sizes[kMaxDimensions];
  const int64_t dimensions = x.dimensions();
  memcpy(sizes, x.sizes(), (size_t)dimensions * sizeof(int64_t));
  sizes[dimensions - 1] = n;
  return Tensor::contiguous(dimensions, sizes, dtype);
}

// Run `body(m0, m1, n0, n1)` over the parts of an (m, n) result of k inputs on torch's threads:
// passes of rows, in them blocks of columns, of which a thread's first and last may be parts of
// their rows.
template <class Body>
void over_result(int64_t m, int64_t k, int64_t n, const Body& body) {
  const int64_t rows = smaller(m, kRowsAPass), blocks = column_blocks(n);
  const int64_t rows_a_part = larger(parts_of(rows, kPartsABlock), kRowsAPart);
  const int64_t parts = parts_of(rows, rows_a_part), pieces = blocks * parts;
  const int64_t work = at_least_one(rows_a_part * k * INC_COLUMN_BLOCK);
  const auto run = [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t m0 = begin / pieces * kRowsAPass, m1 = smaller(m, m0 + kRowsAPass);
      const int64_t block = begin % pieces / parts, part = begin % parts;
      const int64_t whole = part ? 0 : smaller((end - begin) / parts, blocks - block);
      const int64_t taken = whole ? whole * parts : smaller(parts - part, end - begin);
      const int64_t n0 = block * INC_COLUMN_BLOCK;
      if (whole) {
        body(m0, m1, n0, n0 + whole * INC_COLUMN_BLOCK);
      } else {
        const int64_t first = m0 + part * rows_a_part;
        const int64_t last = smaller(m1, first + taken * rows_a_part);
        if (first < last) body(first, last, n0, n0 + INC_COLUMN_BLOCK);
      }
      begin += taken;
    }
  };
  parallel(parts_of(m, kRowsAPass) * pieces, at_least_one(kMultiplications / work), run);
}

// Put y on the stack in the dtype of x.
const char* give_as(Tensor y, const Tensor& x, StackValue* stack) {
  Tensor converted;
  if (!y.as(x.dtype(), &converted)) return kNoMemory;
  stack[0] = converted ? converted.give_to_stack() : y.give_to_stack();
  return nullptr;
}

const char* dynamic_linear(StackValue* stack) {
  const Tensor x = Tensor::take(stack[0]), packed = Tensor::take(stack[1]);
  const Tensor column_sums = Tensor::take(stack[2]), scales = Tensor::take(stack[3]);
  const Tensor bias = Tensor::take_optional(stack[4]);
  const int64_t n = (int64_t)stack[5];
  const int activation = (int)stack[6];
  if (!has_rows(x)) return kTooManyDimensions;
  const Rows rows = rows_of(x);
  const int64_t m = rows.m, k = rows.k;
  if (n < 1 || packed.elements() != (int64_t)inc_int8_packed_size(k, n) ||
      column_sums.elements() != padded_columns(n) || scales.elements() != n) {
    return "packed, column_sums or scales do not fit x and out_features";
  }
  if (bias && bias.elements() != n) return "the bias does not have out_features elements";
  if (activation < INC_ACTIVATION_NONE || activation > INC_ACTIVATION_SILU) {
    return "activation is not one of 0..4";
  }
  const View<const float> inputs(x, torch_api.float32()),
      weight_scales(scales, torch_api.float32());
  const View<const float> addend(bias, torch_api.float32());
  const View<const int8_t> weight(packed, torch_api.int8());
  const View<const int32_t> sums(column_sums, torch_api.int32());
  Tensor y = result_for(x, n, torch_api.float32());
  const Scratch scratch(inc_dynamic_scratch_size(m, k));
  if (!y || !scratch.get()) return kNoMemory;
  if (m == 0) return give_as((Tensor&&)y, x, stack);
  float* result = (float*)data_of(y.handle());

  parallel(m, at_least_one(kElements / at_least_one(k)), [&](int64_t m0, int64_t m1) {
    inc_dynamic_quantize(inputs.data(), k, m, k, scratch.get(), m0, m1);
  });
  over_result(m, k, n, [&](int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
    inc_dynamic_linear(scratch.get(), m, k, weight.data(), sums.data(), weight_scales.data(),
                       addend.data(), activation, n, result, n, m0, m1, n0, n1);
  });
  return give_as((Tensor&&)y, x, stack);
}

const char* static_linear(StackValue* stack) {
  const Tensor q = Tensor::take(stack[0]);
  const float x_scale = (float)double_of(stack[1]);
  const int32_t x_zero_point = (int32_t)(int64_t)stack[2];
  const Tensor packed = Tensor::take(stack[3]), column_sums = Tensor::take(stack[4]);
  const Tensor scales = Tensor::take(stack[5]), bias = Tensor::take_optional(stack[6]);
  const int activation = (int)stack[7];
  const Tensor addend = Tensor::take_optional(stack[8]);
  const float y_scale = (float)double_of(take_optional_value(stack[9]));
  const int32_t y_zero_point = (int32_t)(int64_t)stack[10];
  if (!has_rows(q)) return kTooManyDimensions;
  const Rows rows = rows_of(q);
  const int64_t m = rows.m, k = rows.k, n = scales.elements();
  if (q.dtype() != torch_api.uint8()) return "the activations are not uint8";
  if (k % kInputsAStep) return "the activations do not have a multiple of 4 columns";
  if (packed.elements() != (int64_t)inc_int8_packed_size(k, n) ||
      column_sums.elements() != padded_columns(n)) {
    return "packed, column_sums or scales do not fit the activations";
  }
  if (bias && bias.elements() != n) return "the bias does not have an element per output";
  if (addend && addend.elements() != m * n) return "what is added does not have the result's shape";
  if (activation < INC_ACTIVATION_NONE || activation > INC_ACTIVATION_SILU) {
    return "activation is not one of 0..4";
  }
  const View<const uint8_t> inputs(q, torch_api.uint8());
  const View<const int8_t> weight(packed, torch_api.int8());
  const View<const int32_t> sums(column_sums, torch_api.int32());
  const View<const float> weight_scales(scales, torch_api.float32()),
      biases(bias, torch_api.float32()), addends(addend, torch_api.float32());
  Tensor y = result_for(q, n, y_scale > 0 ? torch_api.uint8() : torch_api.float32());
  if (!y || (bias && !biases.data()) || (addend && !addends.data())) return kNoMemory;
  void* result = data_of(y.handle());
  over_result(m, k, n, [&](int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
    inc_static_linear(inputs.data(), k, x_scale, x_zero_point, weight.data(), sums.data(),
                      weight_scales.data(), biases.data(), activation, addends.data(), y_scale,
                      y_zero_point, n, result, m0, m1, n0, n1);
  });
  stack[0] = y.give_to_stack();
  return nullptr;
}

const char* int4_linear(StackValue* stack) {
  const Tensor x = Tensor::take(stack[0]), packed = Tensor::take(stack[1]);
  const Tensor scales = Tensor::take(stack[2]);
  const Tensor zero_points = Tensor::take_optional(stack[3]);
  const Tensor bias = Tensor::take_optional(stack[4]);
  const int64_t in_features = (int64_t)stack[5], n = (int64_t)stack[6];
  const int64_t group_size = (int64_t)stack[7];
  const int compute = (int)stack[8];
  if (!has_rows(x)) return kTooManyDimensions;
  const Rows rows = rows_of(x);
  const int64_t m = rows.m, k = rows.k;
  if (k != in_features) return "x does not have in_features columns";
  if (group_size < 1 || group_size % INC_GROUP_MULTIPLE) {
    return "group_size is not a positive multiple of 32";
  }
  const int64_t groups = (k + group_size - 1) / group_size;
  if (n < 1 || packed.elements() != (int64_t)inc_int4_packed_size(k, n, group_size) ||
      scales.elements() != groups * padded_columns(n) ||
      (zero_points && zero_points.elements() != groups * padded_columns(n))) {
    return "packed, scales or zero_points do not fit in_features, out_features and group_size";
  }
  if (bias && bias.elements() != n) return "the bias does not have out_features elements";
  if (compute < INC_COMPUTE_FP32 || compute > INC_COMPUTE_INT8) return "compute is not one of 0..2";
  const View<const float> inputs(x, torch_api.float32()), addend(bias, torch_api.float32());
  const View<const uint8_t> weight(packed, torch_api.uint8()),
      zeros(zero_points, torch_api.uint8());
  const View<const uint16_t> group_scales(scales, torch_api.float16());
  Tensor y = result_for(x, n, torch_api.float32());
  const Scratch scratch(inc_int4_scratch_size(m, k, group_size));
  if (!y || !scratch.get()) return kNoMemory;
  if (m == 0) return give_as((Tensor&&)y, x, stack);
  float* result = (float*)data_of(y.handle());

  parallel(m, at_least_one(kElements / at_least_one(k)), [&](int64_t m0, int64_t m1) {
    inc_int4_prepare(inputs.data(), k, m, k, group_size, compute, scratch.get(), m0, m1);
  });
  const int64_t grain = at_least_one(kMultiplications / at_least_one(m * k * INC_COLUMN_BLOCK));
  parallel(column_blocks(n), grain, [&](int64_t begin, int64_t end) {
    inc_int4_linear(scratch.get(), m, k, group_size, compute, weight.data(), group_scales.data(),
                    zeros.data(), addend.data(), n, result, n, begin * INC_COLUMN_BLOCK,
                    end * INC_COLUMN_BLOCK);
  });
  return give_as((Tensor&&)y, x, stack);
}

// The strides of channels_last for four sizes.
void channels_last_strides(const int64_t* sizes, int64_t* strides) {
  constexpr int kInnermostFirst[] = {1, 3, 2, 0};
  int64_t step = 1;
  for (const int dimension : kInnermostFirst) {
    strides[dimension] = step;
    step *= sizes[dimension] > 1 ? sizes[dimension] : 1;
  }
}

bool is_channels_last(const Tensor& x) {
  if (x.dimensions() != 4 || x.is_contiguous()) return false;
  int64_t expected[4];
  channels_last_strides(x.sizes(), expected);
  for (int i = 0; i < 4; i++) {
    if (x.sizes()[i] != 1 && x.strides()[i] != expected[i]) return false;
  }
  return true;
}

// The elements of x in memory order, and an empty result in the same order. What is channels_last
// stays so.
struct Elementwise {
  Elementwise(const Tensor& x, int32_t from, int32_t to) {
    const bool as_it_is = is_channels_last(x) && x.dtype() == from;
    source = (const void*)data_of(as_it_is ? x.handle() : x.as(from, &copy));
    if (is_channels_last(x) && as_it_is) {
      int64_t strides[4];
      channels_last_strides(x.sizes(), strides);
      result = Tensor::empty(4, x.sizes(), strides, to);
    } else {
      result = Tensor::contiguous(x.dimensions(), x.sizes(), to);
    }
    count = x.elements();
  }

  Tensor copy, result;
  const void* source;
  int64_t count;
};

const char* quantize(StackValue* stack) {
  const Tensor x = Tensor::take(stack[0]);
  const float scale = (float)double_of(stack[1]);
  const int32_t zero_point = (int32_t)(int64_t)stack[2];
  const bool is_signed = stack[3] & 1;
  if (x.dimensions() > kMaxDimensions) return kTooManyDimensions;
  if (!(scale > 0)) return "scale is not positive";
  Elementwise work(x, torch_api.float32(), is_signed ? torch_api.int8() : torch_api.uint8());
  if (!work.result || (work.count && !work.source)) return kNoMemory;
  const float* values = (const float*)work.source;
  uint8_t* q = (uint8_t*)data_of(work.result.handle());
  parallel(work.count, kElements, [&](int64_t begin, int64_t end) {
    inc_quantize(values + begin, end - begin, scale, zero_point, is_signed, q + begin);
  });
  stack[0] = work.result.give_to_stack();
  return nullptr;
}

const char* dequantize(StackValue* stack) {
  const Tensor q = Tensor::take(stack[0]);
  const float scale = (float)double_of(stack[1]);
  const int32_t zero_point = (int32_t)(int64_t)stack[2];
  if (q.dimensions() > kMaxDimensions) return kTooManyDimensions;
  const int32_t dtype = q.dtype();
  if (dtype != torch_api.uint8() && dtype != torch_api.int8()) return "q is not uint8 or int8";
  Elementwise work(q, dtype, torch_api.float32());
  if (!work.result || (work.count && !work.source)) return kNoMemory;
  const uint8_t* values = (const uint8_t*)work.source;
  float* y = (float*)data_of(work.result.handle());
  const bool is_signed = dtype == torch_api.int8();
  parallel(work.count, kElements, [&](int64_t begin, int64_t end) {
    inc_dequantize(values + begin, end - begin, scale, zero_point, is_signed, y + begin);
  });
  stack[0] = work.result.give_to_stack();
  return nullptr;
}

// Leaves the integers on the stack and, if asked, the floats after them.
const char* layer_norm(StackValue* stack, bool keeps_floats) {
  const Tensor x = Tensor::take(stack[0]);
  const Tensor weight = Tensor::take_optional(stack[1]), bias = Tensor::take_optional(stack[2]);
  const float epsilon = (float)double_of(stack[3]), scale = (float)double_of(stack[4]);
  const int32_t zero_point = (int32_t)(int64_t)stack[5];
  const bool is_signed = stack[6] & 1;
  if (!has_rows(x)) return kTooManyDimensions;
  if (!(scale > 0)) return "scale is not positive";
  const Rows rows = rows_of(x);
  if ((weight && weight.elements() != rows.k) || (bias && bias.elements() != rows.k)) {
    return "weight or bias does not have the elements of the last dimension";
  }
  const View<const float> inputs(x, torch_api.float32()), factor(weight, torch_api.float32());
  const View<const float> addend(bias, torch_api.float32());
  Tensor result = result_for(x, rows.k, is_signed ? torch_api.int8() : torch_api.uint8());
  Tensor floats = keeps_floats ? result_for(x, rows.k, torch_api.float32()) : Tensor();
  if (!result || (keeps_floats && !floats)) return kNoMemory;
  void* q = data_of(result.handle());
  float* y = (float*)data_of(floats.handle());
  parallel(rows.m, at_least_one(kElements / at_least_one(rows.k)), [&](int64_t m0, int64_t m1) {
    inc_layer_norm_quantize(inputs.data(), rows.k, factor.data(), addend.data(), epsilon, scale,
                            zero_point, is_signed, q, y, m0, m1);
  });
  stack[0] = result.give_to_stack();
  if (keeps_floats) stack[1] = floats.give_to_stack();
  return nullptr;
}

const char* layer_norm_quantize(StackValue* stack) { return layer_norm(stack, false); }

const char* layer_norm_and_quantize(StackValue* stack) { return layer_norm(stack, true); }

template <const char* (*kKernel)(StackValue*)>
void boxed(StackValue* stack, uint64_t, uint64_t) {
  const char* problem = kKernel(stack);
  if (problem) torch_api.check(false, "inc", "operators.cc", 0, problem);
}

struct Operator {
  const char* name;
  BoxedKernel kernel;
};

const Operator kOperators[] = {
    {"dynamic_linear", boxed<dynamic_linear>},
    {"static_linear", boxed<static_linear>},
    {"int4_linear", boxed<int4_linear>},
    {"quantize", boxed<quantize>},
    {"dequantize", boxed<dequantize>},
    {"layer_norm_quantize", boxed<layer_norm_quantize>},
    {"layer_norm_and_quantize", boxed<layer_norm_and_quantize>},
};

}  // namespace

// Register the kernels for CPU tensors, once a process. Null, or what torch lacks or refused.
extern "C" INC_API const char* inc_torch_register(const char* libtorch_path) {
  const char* missing = load_torch_api(libtorch_path);
  if (missing) return missing;
  static LibraryHandle library;  // registrations last as long as it does: for good
  if (torch_api.library_implement("inc", "CPU", __FILE__, __LINE__, &library)) {
    return "a library of kernels for the namespace inc";
  }
  for (const Operator& op : kOperators) {
    if (torch_api.library_add(library, op.name, op.kernel)) return op.name;
  }
  return nullptr;
}
