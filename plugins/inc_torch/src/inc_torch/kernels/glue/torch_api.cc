#include "torch_api.h"

#include <dlfcn.h>
#include <stddef.h>

TorchApi torch_api;

namespace {

struct Symbol {
  void* target;
  const char* name;
};

const Symbol kSymbols[] = {
    {&torch_api.library_implement, "aoti_torch_library_init_impl"},
    {&torch_api.library_add, "aoti_torch_library_impl"},
    {&torch_api.data_pointer, "aoti_torch_get_data_ptr"},
    {&torch_api.sizes, "aoti_torch_get_sizes"},
    {&torch_api.strides, "aoti_torch_get_strides"},
    {&torch_api.dimensions, "aoti_torch_get_dim"},
    {&torch_api.elements, "aoti_torch_get_numel"},
    {&torch_api.dtype, "aoti_torch_get_dtype"},
    {&torch_api.is_contiguous, "aoti_torch_is_contiguous"},
    {&torch_api.empty, "aoti_torch_empty_strided"},
    {&torch_api.copy, "aoti_torch_copy_"},
    {&torch_api.release, "aoti_torch_delete_tensor_object"},
    {&torch_api.release_value, "torch_delete_stable_ivalue"},
    {&torch_api.parallel_for, "torch_parallel_for"},
    {&torch_api.check, "aoti_torch_check"},
    {&torch_api.float32, "aoti_torch_dtype_float32"},
    {&torch_api.float16, "aoti_torch_dtype_float16"},
    {&torch_api.int8, "aoti_torch_dtype_int8"},
    {&torch_api.uint8, "aoti_torch_dtype_uint8"},
    {&torch_api.int32, "aoti_torch_dtype_int32"},
};

}  // namespace

const char* load_torch_api(const char* libtorch_path) {
  void* library = dlopen(libtorch_path, RTLD_NOW | RTLD_NOLOAD);
  if (!library) return "libtorch_cpu, which is not loaded";
  for (const Symbol& symbol : kSymbols) {
    void* address = dlsym(library, symbol.name);
    if (!address) return symbol.name;
    *(void**)symbol.target = address;
  }
  return nullptr;
}
